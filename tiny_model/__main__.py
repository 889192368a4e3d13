"""The entry point of `python -m tiny_model --out FOLDER --work FOLDER`."""

from tiny_model.warm_start import main

if __name__ == "__main__":
    main()
