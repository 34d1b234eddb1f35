"""What a trained generator makes: latents in, images out."""
