"""Train a GAN: `python train.py --help`."""

from gan_lightning.cli.train import main

if __name__ == "__main__":
    main()
