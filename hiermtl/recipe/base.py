"""What every section of a recipe obeys: strict types, known keys, options chosen by a name."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from hiermtl.errors import listing, nearest

PROBLEM = "problem"
"""Type of our own errors: the message goes on after the dotted path (`is 3, but ...`)."""
NUMBER = "number"
"""Like `PROBLEM`, where text that reads as a number would have been right."""


class Section(BaseModel):
    """A mapping of a recipe whose keys are known."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def about_key(cls, key: str, values: Mapping[str, object]) -> str | None:
        """Why `key` is not allowed here, if there is more to say than that it is unknown."""
        del key, values
        return None

    @model_validator(mode="wrap")
    @classmethod
    def _explain_unknown_keys(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        # Only here is it known which keys this section allows; further out there is a bare path.
        try:
            return handler(value)
        except ValidationError as error:
            details = [cls._explained(found, value) for found in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _explained(cls, found: Mapping[str, Any], values: object) -> InitErrorDetails:
        kind, message = found["type"], found["msg"]
        if kind == "extra_forbidden" and len(found["loc"]) == 1:
            key, allowed = str(found["loc"][0]), list(cls.model_fields)
            reason = cls.about_key(key, values if isinstance(values, Mapping) else {})
            near = nearest(key, allowed) or ";"
            text = f"is not a key{near} allowed: {', '.join(allowed)}"
            return detail(PROBLEM, reason or text, loc=found["loc"], given=found["input"])
        if kind in (PROBLEM, NUMBER):
            return detail(kind, message, loc=found["loc"], given=found["input"])
        return InitErrorDetails(
            type=kind, loc=found["loc"], input=found["input"], ctx=found.get("ctx", {})
        )


class Options(Section):
    """Options of one row of a table; each row is a subclass that gives `name` its one value."""

    name: str
    """The row's name in its table."""


def row(name: str, *, required: bool = False) -> Any:
    """The field that says which row of a table a section is: it has one allowed value."""
    limits: dict[str, Any] = {"pattern": f"^{name}$", "json_schema_extra": {"const": name}}
    return Field(**limits) if required else Field(default=name, **limits)


Table: TypeAlias = Mapping[str, type[Any]]
"""Name -> the model of the options that the name brings."""


class OneOf:
    """Marks a field as a section whose `key` chooses its model from a table.

    A text stands for the section with that key alone (`sluice` for `{name: sluice}`), except where
    `key` is `format`, because a corpus always needs more. `other` is the model of names not in the
    table; without it they are errors. `default` is the name of a section that does not give one.
    """

    def __init__(
        self,
        table: Table,
        *,
        key: str = "name",
        other: type[Any] | None = None,
        default: str | None = None,
    ) -> None:
        """Keeps the table; its rows are read when the field's model is built."""
        self.table, self.key, self.other, self.default = table, key, other, default
        self.short = key == "name"

    def model(self, name: object) -> type[Any] | None:
        """The model that a name chooses, or `None` for an unknown name."""
        return self.table.get(name, self.other) if isinstance(name, str) else None

    def long(self, value: object) -> object:
        """The section written out in full, where `value` is its short form."""
        return {self.key: value} if self.short and isinstance(value, str) else value

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validates by the chosen model alone, so that errors speak of that one and no other."""
        models = [*self.table.values(), *([self.other] if self.other else [])]
        union = core_schema.union_schema([handler.generate_schema(model) for model in models])
        return core_schema.no_info_wrap_validator_function(self._validated, union)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any of the models, or their short form."""
        found = handler(schema)
        branches = found.get("anyOf", [found])
        if not self.short:
            return {"anyOf": branches}
        names: JsonSchemaValue = {"type": "string"}
        if self.other is None:
            names["enum"] = list(self.table)
        return {"anyOf": [names, *branches]}

    def _validated(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        del handler
        if isinstance(value, Section):
            return value
        value = self.long(value)
        if not isinstance(value, Mapping):
            form = f"a name or {{{self.key}: ...}}" if self.short else f"{{{self.key}: ..., ...}}"
            raise problem(f"is {shown(value)}, but {form} is needed")
        if self.default is not None and self.key not in value:
            value = {self.key: self.default, **value}
        name = value.get(self.key)
        model = self.model(name)
        if model is not None:
            return model.model_validate(value)
        if self.key not in value:
            text = f"is missing; allowed are {listing(self.table)}"
        else:
            near = nearest(name, self.table) if isinstance(name, str) else ""
            text = f"is {shown(name)}, but allowed are {listing(self.table)}{near}"
        raise ValidationError.from_exception_data(
            "section", [detail(PROBLEM, text, loc=(self.key,), given=name)]
        )


def problem(message: str, kind: str = PROBLEM) -> PydanticCustomError:
    """An error of ours to raise in a validator; `message` goes on after the dotted path."""
    # Braces in a template are place holders; in the value of one they are only text.
    return PydanticCustomError(kind, "{text}", {"text": message})  # type: ignore[arg-type]


def shown(value: object) -> str:
    """A value as a recipe would write it, cut when long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def detail(
    kind: str, message: str, *, loc: tuple[int | str, ...], given: object
) -> InitErrorDetails:
    """One of our errors at a place below the section that is validated."""
    return InitErrorDetails(type=problem(message, kind), loc=loc, input=given)
