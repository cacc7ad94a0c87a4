"""One delivery worker, run until nothing is due; prints seconds, what is left, and its peak memory as JSON."""

import json
import resource
import sys
import time

import django

django.setup()

from django.db.models.functions import Now  # noqa: E402

from skill import delivery  # noqa: E402
from skill.models import Endpoint  # noqa: E402

delivery.LINGER_SECONDS = -1
if len(sys.argv) > 1 and sys.argv[1] == "--profile":
    import cProfile

    cProfile.run("delivery.deliver(25)", "/tmp/delivery.prof")
started = time.perf_counter()
while delivery.deliver(30):
    pass
seconds = time.perf_counter() - started
left = Endpoint.objects.filter(due_at__lte=Now()).count()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "left": left, "memory_mib": round(memory)}))
