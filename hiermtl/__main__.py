"""`python -m hiermtl`, and with it `accelerate launch -m hiermtl train ...`."""

from hiermtl.cli import main

if __name__ == "__main__":
    main()
