"""That what deploys the product is right: the image, the build, the infrastructure and the walk through them."""
