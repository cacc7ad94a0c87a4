"""Write the courier's zip for AWS Lambda, byte for byte the same wherever it is made; for those who upload it by hand."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from skill import lambda_package


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="courier.zip", type=Path, help="default: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        zipped = lambda_package.package()
        try:
            options["file"].write_bytes(zipped)
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error.strerror}.") from error
        self.stdout.write(
            f"{options['file']}: {len(zipped)} bytes, handler {lambda_package.HANDLER},"
            f" CodeSha256 {lambda_package.code_sha256(zipped)}"
        )
