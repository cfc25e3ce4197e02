"""Where the Firestore emulator's jar lies on this machine.

Run as a module (`python -m tests.services.firestore_jar`) it prints the jar's path, or says what is missing and ends
with status 1. It needs the standard library only, so that set-up scripts can ask before anything is installed.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.services.unavailable import ServiceUnavailable

JAR_VARIABLE = "TORPOR_TEST_FIRESTORE_JAR"
JAR_IN_SDK = Path("platform", "cloud-firestore-emulator", "cloud-firestore-emulator.jar")
REMEDY = f"install Debian's or Google's package google-cloud-cli-firestore-emulator, or set {JAR_VARIABLE} to the jar"


def find_firestore_jar() -> Path:
    """Find the emulator's jar: the one named by TORPOR_TEST_FIRESTORE_JAR, else the one in the gcloud SDK.

    Raises:
        ServiceUnavailable: there is no such jar.
    """
    named = os.environ.get(JAR_VARIABLE)
    jar = Path(named) if named else _sdk_root() / JAR_IN_SDK
    if not jar.is_file():
        raise ServiceUnavailable(f"no Firestore emulator at {jar}: {REMEDY}")
    return jar


def _sdk_root() -> Path:
    try:
        answer = subprocess.run(
            ["gcloud", "info", "--format=value(installation.sdk_root)"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceUnavailable(f"the Firestore emulator was not found, gcloud failed ({error}): {REMEDY}") from error
    return Path(answer.stdout.strip())


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{find_firestore_jar()}\n")
    except ServiceUnavailable as unavailable:
        sys.exit(str(unavailable))
