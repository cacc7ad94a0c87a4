"""What is written with every report, kept small.

A report writes its endpoint twice: the lease, then what came of it. Half of each page is left free, so that the new versions of all
its rows fit beside the old ones: the lease then hardly ever touches an index. The index by grant alone was the start of another one.
Holds for pages written from now on; old ones get there as their rows move, or at once by VACUUM FULL.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("skill", "0004_linking")]

    operations = [
        migrations.AlterField(
            model_name="endpoint",
            name="grant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="endpoints",
                to="skill.alexagrant",
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE skill_endpoint SET (fillfactor = 50)", "ALTER TABLE skill_endpoint RESET (fillfactor)"
        ),
    ]
