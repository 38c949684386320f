"""The hand-made part of the sample lexicon, as tables of text.

The columns are separated by blanks, one entry a line. Argument classes are letters: P person,
O organisation, L place, T thing, A abstract, E event; several letters allow several classes.
"""

# lemma[.sense][+particle], frame, subject, object, prepositions (prep:classes, `!` obligatory),
# marks.
# Frames: intr, unac (the subject undergoes), trans, psych (the object feels), ditr, that, toinf,
# objinf. Marks: rel=NAME gives a relation between two named arguments, syn=LEMMA, ant=LEMMA.
VERBS = """
say that P - - -
claim that P - - syn=say
believe that P - - -
report that PO - - -
announce that O - - syn=report
think that P - - -
know that P - - -
hope.02 that P - - -
fear.02 that P - - -
admit that P - - -
deny that PO - - -
warn that PO - - -
find.02 that PO - - -
promise.02 that P - - -
notice that P - - -
show.02 that T - - -
want toinf P - - -
plan toinf PO - - -
try toinf P - - -
hope toinf P - - -
agree toinf PO - - -
refuse toinf PO - - ant=agree
decide toinf PO - - -
promise toinf PO - - -
need toinf PO - - -
attempt toinf PO - - syn=try
begin.02 toinf P - - -
continue toinf PO - - -
fail toinf PO - - -
ask objinf P P - -
tell objinf P P - -
persuade objinf P P - -
force objinf PO P - -
allow objinf PO P - -
order.02 objinf P P - -
help.02 objinf P P - -
expect objinf PO P - -
teach.02 objinf P P - -
give ditr P T to:P -
send ditr P T to:P -
offer ditr P T to:P -
show ditr P T to:P -
sell ditr PO T to:P -
lend ditr P T to:P -
bring ditr P T to:P -
hand ditr P T to:P -
pay ditr O A to:P -
teach ditr P A to:P -
smile intr P - at:P! -
laugh intr P - at:P -
sleep intr P - - -
cry intr P - - -
walk intr P - to:L -
run.02 intr P - to:L -
swim intr P - - -
talk intr P - to:P!,about:AT syn=speak
speak intr P - with:P!,about:AE -
wait intr P - for:PE! -
look intr P - at:T! -
listen intr P - to:P! -
wonder intr P - about:AE! -
travel intr P - to:L!,from:L -
drive.02 intr P - to:L! syn=travel
return intr P - to:L!,from:L -
move.02 intr PO - to:L!,from:L -
live intr P - in:L! -
stay intr P - in:L! -
work.02 intr P - for:O! rel=works-for
arrive unac P - in:L! -
fall unac T - from:T -
rise unac A - - -
grow.02 unac A - - ant=shrink
shrink unac A - - ant=grow
disappear unac PT - - -
die unac P - in:L! -
happen unac E - in:L -
start.02 unac E - - ant=end
end unac E - - ant=start
depend unac A - on:AE! -
belong unac T - to:P! -
rely intr PO - on:A! -
focus intr O - on:A! -
invest intr O - in:AT! -
merge intr O - with:O! -
compete intr O - with:O!,for:A -
expand intr O - into:A,in:L -
trade intr O - with:O,in:T -
vote intr P - against:A!,for:A -
protest intr P - against:AE! -
fight.02 intr P - against:A!,with:P -
apply intr P - for:A! -
search intr P - for:TP! -
visit trans P L - -
leave trans P L - ant=reach
reach trans P L - ant=leave
cross trans P L - -
bomb trans O L - -
govern trans P L - -
tour trans P L - syn=visit
explore trans P L - -
meet trans P P - -
marry trans P P - -
kiss trans P P - -
love trans P P - ant=hate
hate trans P P - ant=love
thank trans P P for:AT! -
blame trans P P for:AE! -
accuse trans P P of:A! -
remind trans P P of:AE! -
arrest trans P P in:L -
kill trans P P - -
hurt trans P P - -
invite trans P P to:E! -
raise.02 trans P P in:L rel=parent-of
adopt trans P P - rel=parent-of
call trans P P - -
judge trans P P - -
praise trans P P for:A -
hire trans O P - rel=employs
fire trans O P - ant=hire
interview trans P P about:AE -
train trans O P - -
charge trans O P with:A! -
join trans P O in:T rel=member-of
found trans P O in:L rel=founded
lead trans P O - rel=leads
head trans P O - rel=leads,syn=lead
quit trans P O - -
acquire trans O O - rel=owns
buy.02 trans O O for:A rel=owns
sue trans O O over:A! -
sponsor trans O E - -
own trans O T - -
launch trans O T - -
publish trans O T in:L -
build trans O T in:L ant=destroy
make trans O T - -
design trans P T - -
produce trans O T in:L -
see trans P T - -
saw trans P T - -
read trans P T - -
write trans P T about:AE -
lie.02 intr P - to:P! -
lay trans P T on:T! -
put trans P T on:T!,in:T -
place trans P T on:T!,in:T syn=put
take trans P T from:TL -
steal trans P T from:TP! syn=take
buy trans P T from:P -
find trans P T in:LT -
lose trans P T - ant=find
break trans P T - ant=repair
repair trans P T - ant=break
cut trans P T - -
paint trans P T - -
carry trans P T to:L! -
drive trans P T to:L -
open trans P T - ant=close
close trans P T - ant=open
watch trans P TE - -
use trans PO TA for:A -
need.02 trans PO TA - -
want.02 trans P TA - -
like trans P TAE - ant=hate
study trans P A - -
test trans PO TA - -
change trans PO AT - -
discuss trans PO A with:PO -
support trans PO A - ant=reject
reject trans PO A - ant=support
review trans PO AT - -
question trans PO A - -
demand trans PO A from:PO -
cause trans AE AE - -
describe trans P TAE to:P -
mark trans E E - -
limit trans A A - -
base trans PO A on:A! -
set+up trans PO O - syn=found
shut+down trans O T - -
pick+up trans P T - -
carry+out trans PO A - -
turn+down trans PO A - syn=reject
hand+in trans P T - -
put+off trans PO E - -
call+off trans PO E - -
take+over trans O O - rel=owns,syn=acquire
tire psych E P - -
worry psych AE P - -
excite psych AE P - -
surprise psych AE P - -
bore psych E P - -
confuse psych A P - -
interest psych AT P - -
disappoint psych AE P - -
annoy psych A P - -
frighten psych A P - -
amuse psych T P - -
shock psych E P - -
coach trans P P - -
nurse trans P P - -
guard trans P T - -
cook trans P T - -
guide trans P P - -
witness trans P E - -
head.02 unac P - to:L! -
book trans P T - -
ship trans O T to:L -
picture trans P T - -
house trans O P - -
bill trans O P for:A -
hammer trans P T - -
map trans P L - -
ring trans P T - -
water trans P T - -
answer trans P A - -
risk trans PO A - -
increase trans PO A - -
drop trans P T - -
fear trans P AE - -
price trans O T - -
reply intr P - to:P! -
race intr P - against:P -
strike trans P T - -
attack trans O L - -
march intr P - to:L! -
storm trans P L - -
play trans P E - -
paper trans P T - -
park trans P T in:L! -
view trans P TA - -
touch trans P T - -
rule trans P L - -
cost.02 trans A A - -
report.02 trans PO AE - -
claim.02 trans P A - -
plan.02 trans PO E - -
offer.02 trans PO A - -
train.02 intr P - for:E! -
empty trans P T - ant=fill
fill trans P T with:T -
clear trans PO T - -
slow unac E - - -
present trans P A to:P -
right trans P T - -
open.02 unac TE - - -
close.02 unac T - - -
free trans P P from:L -
dry trans P T - -
warm trans P T - -
clean trans P T - -
own.02 trans P TA - -
last unac E - - -
wind intr P - through:L! -
wake+up intr P - - -
give+up intr P - - -
go+on unac E - - -
break+down unac T - - -
come+in intr P - - -
look+up trans P T - -
get+by intr P - - -
stand+by intr P - - -
stand intr P - by:T! -
sit intr P - by:T!,on:T -
climb intr P - up:T!,down:T -
look.02 intr P - like:P! -
walk.02 intr P - past:L!,around:L -
drive.03 intr P - through:L!,past:T -
go intr P - down:L!,up:L -
come intr P - from:L! -
grind trans P T - -
bind trans P T - -
think.02 intr P - of:T!,about:A -
feel trans P A - -
fill+in trans P T - -
clean+up trans P T - -
"""

# lemma past participle
IRREGULAR_VERBS = """
say said said|know knew known|think thought thought|find found found|show showed shown
begin began begun|tell told told|give gave given|send sent sent|sell sold sold|lend lent lent
bring brought brought|pay paid paid|teach taught taught|sleep slept slept|run ran run
swim swam swum|speak spoke spoken|drive drove driven|fall fell fallen|rise rose risen
grow grew grown|shrink shrank shrunk|fight fought fought|leave left left|meet met met
hurt hurt hurt|lead led led|quit quit quit|buy bought bought|build built built|make made made
see saw seen|read read read|write wrote written|lay laid laid|put put put|take took taken
steal stole stolen|lose lost lost|break broke broken|cut cut cut|set set set|shut shut shut
lie lied lied|be was been|have had had|do did done|become became become|come came come
go went gone|get got got|cost cost cost|spread spread spread|stand stood stood|sit sat sat
grind ground ground|bind bound bound|wind wound wound|wake woke woken
strike struck struck|ring rang rung
feel felt felt|keep kept kept|hold held held|hear heard heard
"""

# lemma  class  prepositions it selects  marks (hyp=hypernym, mass, m / f gender)
NOUNS = """
teacher P - hyp=worker
doctor P - hyp=worker
student P - -
lawyer P - hyp=worker
judge P - -
reporter P - -
president P of:O -
director P of:O -
leader P of:O -
head P of:O -
guide P - -
guard P - -
cook P - hyp=worker
painter P - hyp=worker
driver P - hyp=worker
writer P - -
farmer P - hyp=worker
nurse P - hyp=worker
engineer P - hyp=worker
minister P - -
friend P of:P -
neighbour P of:P -
worker P - -
child P - -
man P - m
woman P - f
mother P of:P f
father P of:P m
daughter P of:P f
son P of:P m
sister P of:P f
brother P of:P m
coach P - -
witness P - -
member P of:O -
expert P on:A -
customer P - -
soldier P - -
professional P - -
criminal P - -
official P - -
native P of:L -
patient P - -
company O - -
bank O - -
team O - -
union O - -
party O - -
agency O - hyp=organisation
newspaper O - -
university O - -
school O - -
firm O - hyp=company
club O - -
group O - -
hospital O - -
court O - -
council O - -
organisation O - -
press O - -
city L in:L -
town L in:L -
village L in:L -
capital L of:L -
river L - -
island L - -
street L - -
valley L - -
region L - -
country L - -
park L - -
station L - -
bridge L - -
market L - -
border L of:L -
book T about:A -
letter T about:A -
report T on:A,about:A -
record T of:A -
car T - hyp=vehicle
vehicle T - -
truck T - hyp=vehicle
bag T of:T -
box T of:T -
picture T of:L -
house T in:L hyp=building
building T in:L -
door T - -
table T - -
window T - -
machine T - -
phone T - hyp=machine
computer T - hyp=machine
painting T of:L hyp=picture
drawing T of:L hyp=picture
map T of:L -
ship T - -
train T - hyp=vehicle
can T - -
saw T - hyp=tool
tool T - -
hammer T - hyp=tool
bill T - -
paper T on:A -
wall T - -
key T to:T -
ring T - -
watch T - -
bottle T of:T -
water T - mass
wood T - mass
bread T - mass
glass T - mass
milk T - mass
plan A for:E,for:A -
idea A - -
problem A with:T -
answer A to:A -
attempt A - -
offer A - -
claim A - -
promise A - -
demand A for:T -
change A in:A -
increase A in:A -
drop A in:A -
rise A in:A -
risk A of:E -
fear A of:E -
hope A for:A -
need A for:A -
order A for:T -
study A of:A -
test A of:A -
cost A of:T -
price A of:T -
law A on:A -
rule A on:A -
right A to:A -
future A of:O -
past A of:L -
debt A - -
job A - -
work A - mass
trade A - mass
support A for:A mass
help A - mass
research A on:A mass
news A - mass
education A - mass
health A - mass
evidence A of:A mass
training A - mass
funding A for:A mass
housing A - mass
feeling A - -
meaning A of:T -
finding A - -
vote A on:A -
question A about:A -
reply A to:T -
limit A on:A -
charge A - -
interest A in:A -
mistake A - -
theory A of:A -
crisis A - -
analysis A of:A -
effort A - -
meeting E with:P,about:A -
wedding E of:P -
hearing E on:A -
opening E of:O -
fighting E - mass
conference E on:A -
party E for:P -
game E - -
race E - -
fight E with:P -
visit E to:L -
walk E to:L -
tour E of:L -
talk E about:A,with:P -
interview E with:P -
protest E against:A -
strike E - -
attack E on:L -
fire E in:L -
war E - -
election E in:L -
trial E of:P -
concert E - -
march E - -
search E for:T -
storm E - -
play E about:P -
look A at:T -
need A for:A -
use A of:T -
love A of:A mass
kiss E - -
fall E - -
run E - -
swim E - -
laugh A - -
smile A - -
cry A - -
move A - -
start E - -
end E - -
focus A on:A -
break E - -
cut A in:A -
paint T - mass
drive E to:L -
review A of:A -
design A of:T -
return E to:L -
stay E in:L -
cause A of:A -
mark T on:T -
call A - -
praise A - mass
blame A - mass
view A of:L -
touch A - -
leaf T - -
life A in:L -
thought A on:A -
wound A - -
ground T - -
find A - -
lead A in:A -
quit A - -
show E - -
hire P - -
back T - -
will A - -
might A - mass
must A - -
stand T - -
plus A - -
like A - -
own A - -
ski T - -
shot T - -
felt T - mass
round E - -
sound A - -
clean E - -
cold A - -
warming A - mass
being A - -
saying A - -
fitting T - -
setting L - -
crossing L - -
landing E - -
wording A - mass
beginning E of:E -
offering A - -
recording T - -
writing A - mass
teaching A - mass
spelling A - -
earring T - -
evening E - -
ceiling T - -
clothing T - mass
lightning E - mass
string T - -
bed T - -
shed T - -
speed A - -
seed T - -
weed T - -
breed T - -
"""

IRREGULAR_NOUNS = """
child children|man men|woman women|leaf leaves|life lives|crisis crises|analysis analyses
"""

# lemma  marks (ant=antonym, syn=synonym, adv= an adverb of the same form, psych)
ADJECTIVES = """
new ant=old
old ant=new
big syn=huge,ant=small
large ant=small
small ant=large
good ant=bad
bad ant=good
long ant=short
short ant=long
early adv
late adv
fast adv,ant=slow,syn=quick
hard adv
slow ant=fast
high adv
low adv
poor ant=rich
rich ant=poor,syn=wealthy
strong ant=weak
weak ant=strong
young ant=old
happy ant=sad
sad ant=happy
angry syn=furious
furious -
quick -
silent -
vital -
wealthy -
huge -
perilous -
quiet ant=loud,syn=silent
loud ant=quiet
cheap ant=expensive
expensive ant=cheap
clear -
close adv
open ant=closed
closed ant=open
empty ant=full
full ant=empty
important syn=vital
public ant=private
private ant=public
local -
national -
secret -
final -
legal ant=illegal
illegal ant=legal
recent -
famous -
dangerous ant=safe,syn=perilous
safe ant=dangerous
useful ant=useless
useless ant=useful
careful ant=careless
careless ant=careful
wooden -
daily adv
weekly adv
right -
present -
past -
top -
key -
total -
human -
criminal -
official -
native -
patient -
professional -
left -
lost -
broken -
wounded -
leading -
missing -
growing -
promising -
tired psych,syn=weary
worried psych
excited psych
surprised psych
bored psych
confused psych
interested psych
disappointed psych
annoyed psych
frightened psych
amused psych
shocked psych
tiring -
worrying -
exciting ant=boring
surprising -
boring ant=exciting
confusing -
interesting -
annoying -
free -
dry -
warm ant=cold
cold ant=warm
clean -
own -
live -
sound -
friendly -
costly -
lively -
monthly adv
hourly adv
yearly adv
deadly -
kindly -
sickly -
orderly -
lonely -
ugly -
chief -
novel -
subject -
plus -
firm -
light -
well -
back -
close -
still -
only -
just -
even -
naked -
wicked -
sacred -
rugged -
striking -
moving -
living -
working -
winning -
"""

IRREGULAR_ADJECTIVES = """
good better best|bad worse worst
"""

MANNER_ADVERBS = """
quickly slowly hard fast well early late right low high badly together clean short
daily weekly monthly hourly yearly again alone straight close light loud slow tight free
quietly carefully suddenly easily happily angrily secretly openly
"""

MIDDLE_ADVERBS = """
never often already always probably certainly usually still just also finally recently only
"""

SENTENCE_ADVERBS = """
however yesterday today tomorrow then now here there unfortunately perhaps later meanwhile
"""

# first names, with the words that are also common words among them
FEMALE_NAMES = """
Mary Anna Rose Grace Hope Faith Susan Laura Emma Julia Dawn Joy April June Helen Alice Clara
Lily Ivy Olive Ruby Nora Karin Eva Iris Violet Daisy Summer Paris Victoria Florence Charlotte
"""

MALE_NAMES = """
John Mark Bill Will Jack Peter Paul Frank Rob Art Chase Grant Drew Pat Tom David Martin James
Victor Chad Austin Dallas Hunter Miles Dean Guy Rich Josh Gene Ray Max Jordan
"""

SURNAMES = """
Hunter Cook Baker Park Woods Fields Brooks Banks Bush Young Long Rivers Stone Church Hill
Ford King Marsh Wood Price Page Rich Bell Love Day Law Lane Mills Marks Walker Fisher Carpenter
Lincoln Washington Houston Jackson Austin Chase Morgan Nelson Sterling Winter Lake Case Power
Best Sharp Swift Strong Savage Noble Wise Peace March
"""

PLACES = """
Bath Reading Cork Nice Orange Lincoln Washington Houston Jackson Austin Victoria Florence Paris
Jordan Charlotte Nelson Sterling Rugby Hull Battle Rye Deal March Mobile Split Chad Turkey Troy
Phoenix Hope Providence Salem Barking Dorking Woking Wells Sale Ware
"""

COMPANIES = """
Target Gap Shell Apple Oracle Shield Mills Marks Chase Ford Morgan Swift Stone Falcon Visa Sprint
Boots Next Subway Orange Virgin Nationwide Barclay Sterling Bell Pilot Premier Signal Sharp
"""

ORGANISATION_ENDS = """
Inc. Corp. Ltd. Group Bank Systems Industries Foods Motors Press Airlines Partners Holdings
"""

ORGANISATION_HEADS = """
University Bank Museum Institute Church Ministry Council Port
"""

LOCAL_ENDS = """
Herald Times University Museum Council Hospital Rovers United College Tribune
"""

FOUNDATION_ENDS = """
Foundation Institute Trust Museum Library Society
"""

MINISTRY_FIELDS = """
Trade Health Education Justice Defence Labour
"""

PLACE_STARTS = """
New Port Lake Mount Fort North South Saint
"""

PLACE_ENDS = """
Valley Bridge Hill Park Island Street Bay River
"""

PRODUCT_HEADS = """
Prize Act Cup Project Report Award Trial Plan Treaty Festival
"""

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"

MONTHS = "January February March April May June July August September October November December"

TITLES_MALE = "Mr. Dr. President Judge Professor Minister Captain"

TITLES_FEMALE = "Ms. Dr. President Judge Professor Minister Captain"

GREETINGS = """
Hello Hi Thanks Welcome Yes No Well Oh Sorry Congratulations
"""

DEMONYMS = """
French German Turkish Polish Swedish Greek Spanish Irish Welsh Danish Roman Chinese
"""

# Syllables and endings of invented words and names. Simple vowels are listed twice, so that they
# are twice as frequent.
ONSETS = "b d f g k l m n p r s t v z bl br dr fl gr kl kr pl pr sk sl sn sp st tr vr th sh"

NUCLEI = "a e i o u a e i o u ai ea oo ou"

CODAS = "b d g k l m n p r t ck ld lt mp nd nk nt rd rk rl rm rn rt sk st sp"

PLACE_TAILS = "a ia o burg stad ville ton ov ek mouth field"

SURNAME_TAILS = "er son ski ez man ov el in ard field ton"

COMPANY_TAILS = "ex ix ia o on tec el um"

# Letter sequences that would read as something rude.
AVOIDED = (
    "shit fuk fuck cun nig fag slu tit ass rap naz spic dik dick koon coon cock sex poop turd boob"
)
