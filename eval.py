"""Judge a trained generator: `python eval.py --help`."""

from gan_lightning.cli.evaluate import main

if __name__ == "__main__":
    main()
