"""Sample from a trained generator: `python sample.py --help`."""

from gan_lightning.cli.sample import main

if __name__ == "__main__":
    main()
