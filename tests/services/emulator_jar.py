"""Where the jars of Google's emulators lie on this machine.

Run as a module (`python -m tests.services.emulator_jar firestore`) it prints the jar's path, or says what is missing
and ends with status 1. It needs the standard library only, so that set-up scripts can ask before anything is installed.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services.unavailable import ServiceUnavailable


@dataclass(frozen=True)
class EmulatorJar:
    """One emulator's jar, and how to come by it."""

    name: str
    variable: str
    """Environment variable that names the jar."""
    in_sdk: str
    """Where it lies in the gcloud SDK, as a pattern: some have their version in their name."""
    package: str
    """Debian's or Google's package that has it."""

    def find(self) -> Path:
        """The jar that the variable names, else the one in the gcloud SDK.

        Raises:
            ServiceUnavailable: there is no such jar.
        """
        remedy = f"install Debian's or Google's package {self.package}, or set {self.variable} to the jar"
        named = os.environ.get(self.variable)
        found = [Path(named)] if named else sorted(_sdk_root(remedy).glob(self.in_sdk))
        if not found or not found[-1].is_file():
            raise ServiceUnavailable(f"no {self.name} emulator at {named or self.in_sdk}: {remedy}")
        return found[-1]


FIRESTORE = EmulatorJar(
    "Firestore",
    "TORPOR_TEST_FIRESTORE_JAR",
    "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    "google-cloud-cli-firestore-emulator",
)
PUBSUB = EmulatorJar(
    "Pub/Sub",
    "TORPOR_TEST_PUBSUB_JAR",
    "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar",
    "google-cloud-cli-pubsub-emulator",
)
JARS = {"firestore": FIRESTORE, "pubsub": PUBSUB}


def _sdk_root(remedy: str) -> Path:
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
        raise ServiceUnavailable(f"no emulator was found, gcloud failed ({error}): {remedy}") from error
    return Path(answer.stdout.strip())


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{JARS[sys.argv[1]].find()}\n")
    except ServiceUnavailable as unavailable:
        sys.exit(str(unavailable))
