"""Where SNS lives: Amazon's partitions and regions, the API host of each and the name in its signing certificate.

Pure data with three questions on it. Never a pattern: `sns.s3-us-west-2.amazonaws.com` is somebody's bucket.
Source: botocore's endpoint data and AWS's own SNS message manager for Java (Amazon's SNS guide, sections 5 and 6).
"""

import re
from dataclasses import dataclass
from typing import Final

ARN: Final = re.compile(r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]{1,32}):[0-9]{12}:[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class Partition:
    """One of Amazon's separate worlds: the ending of its host names and its SNS regions."""

    suffix: str
    regions: frozenset[str]


def _partition(suffix: str, regions: str) -> Partition:
    return Partition(suffix, frozenset(regions.split()))


PARTITIONS: Final[dict[str, Partition]] = {
    "aws": _partition(
        "amazonaws.com",
        "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 "
        "ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 "
        "eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2",
    ),
    "aws-cn": _partition("amazonaws.com.cn", "cn-north-1 cn-northwest-1"),
    "aws-us-gov": _partition("amazonaws.com", "us-gov-east-1 us-gov-west-1"),
    "aws-iso": _partition("c2s.ic.gov", "us-iso-east-1 us-iso-west-1"),
    "aws-iso-b": _partition("sc2s.sgov.gov", "us-isob-east-1 us-isob-west-1"),
    "aws-iso-e": _partition("cloud.adc-e.uk", "eu-isoe-west-1"),
    "aws-iso-f": _partition("csp.hci.ic.gov", "us-isof-east-1 us-isof-south-1"),
    "aws-eusc": _partition("amazonaws.eu", "eusc-de-east-1"),
}

# These sign under a name of their own region.
_REGIONAL: Final = _partition(
    "",
    "af-south-1 ap-east-1 ap-east-2 ap-south-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
    "ap-southeast-7 ca-west-1 eu-central-2 eu-south-1 eu-south-2 il-central-1 me-central-1 me-south-1 mx-central-1 "
    "eu-isoe-west-1 us-isof-east-1 us-isof-south-1 eusc-de-east-1",
).regions
_PECULIAR: Final[dict[str, str]] = {
    "cn-north-1": "sns-cn-north-1.amazonaws.com.cn",
    "cn-northwest-1": "sns-cn-northwest-1.amazonaws.com.cn",
    "us-gov-west-1": "sns-us-gov-west-1.amazonaws.com",
    "us-gov-east-1": "sns-us-gov-west-1.amazonaws.com",
    "us-iso-east-1": "sns-us-iso-east-1.c2s.ic.gov",
    "us-isob-east-1": "sns-us-isob-east-1.sc2s.sgov.gov",
}


def locate(arn: str) -> tuple[str, str] | None:
    """(suffix, region) of a topic, or None when it is no topic of a region that we know."""
    match = ARN.fullmatch(arn)
    partition = PARTITIONS.get(match["partition"]) if match else None
    if match is None or partition is None or match["region"] not in partition.regions:
        return None
    return partition.suffix, match["region"]


def api_host(arn: str) -> str | None:
    """The one host that may serve the certificate of this topic's messages."""
    place = locate(arn)
    return f"sns.{place[1]}.{place[0]}" if place else None


def signing_name(arn: str) -> str | None:
    """The DNS name that the signing certificate of this topic's messages must carry."""
    place = locate(arn)
    if place is None:
        return None
    suffix, region = place
    return _PECULIAR.get(region) or (f"sns-signing.{region}.{suffix}" if region in _REGIONAL else f"sns.{suffix}")
