"""A run: trained, resumed, recorded, loaded and evaluated again."""
