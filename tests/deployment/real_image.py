"""Builds the image for real, without a registry and without a container engine.

`python -m tests.deployment.real_image` builds it and says what came of it; the tests do the same and look inside.
The stand-in for the base image and the wheels are kept in build/image, so only the first build takes minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.deployment.base_image import Builder
from tests.deployment.container import Image
from tests.services.unavailable import ServiceUnavailable

CHECKOUT = Path(__file__).resolve().parents[2]
STORE = CHECKOUT / "build" / "image"
NAME = "localhost/torpor:checked"


def build(builder: Builder) -> Image:
    """Build the checkout's Dockerfile as it is and unpack the image.

    Raises:
        ServiceUnavailable: what the build begins with could not be had.
        AssertionError: the build failed.
    """
    builder.provide_base()
    wheels = builder.provide_wheels(CHECKOUT / "requirements.lock")
    lent = [f"{wheels}:/wheels:ro", f"{wheels}/pip.conf:/etc/pip.conf:ro"]
    return _build(builder, NAME, CHECKOUT / "Dockerfile", CHECKOUT, lent)


def derive(builder: Builder, dockerfile: str, context: Path, name: str, **arguments: str) -> Image:
    """Build an image from one that was built before.

    Args:
        builder: where both are.
        dockerfile: the text of the derived image's Dockerfile.
        context: the folder that it copies from.
        name: what the derived image is called.
        arguments: those of the build.
    """
    file = context / "Dockerfile"
    file.write_text(dockerfile, encoding="utf-8")
    return _build(builder, name, file, context, [], arguments)


def _build(
    builder: Builder,
    name: str,
    dockerfile: Path,
    context: Path,
    lent: list[str],
    arguments: Mapping[str, str] = MappingProxyType({}),
) -> Image:
    # The Docker format, because the OCI format has no health check.
    flags = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--layers=false", "--quiet"]
    for volume in lent:
        flags += ["--volume", volume]
    for each in arguments.items():
        flags += ["--build-arg", "=".join(each)]
    builder.buildah("bud", *flags, "--tag", name, "--file", str(dockerfile), str(context))
    image = Image(builder, name)
    # The build that came before left its image without a name.
    builder.buildah("rmi", "--prune", "--force")
    return image


def main() -> None:
    """Build the image and say how long it took and how large it is."""
    began = time.monotonic()
    try:
        image = build(Builder(STORE))
    except ServiceUnavailable as unavailable:
        sys.exit(f"skipped: {unavailable}")
    try:
        size = sum(each.lstat().st_size for each in image.root.rglob("*") if not each.is_symlink())
        answer = image.run("python", "-c", "import app; print('app', app.__version__)")
        seconds = time.monotonic() - began
        sys.stdout.write(f"{image.name}: {size / 1e6:.0f} MB unpacked, {seconds:.0f} s; {answer.output}")
    finally:
        image.remove()


if __name__ == "__main__":
    main()
