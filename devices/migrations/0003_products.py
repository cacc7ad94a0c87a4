"""Where models are sold, what slots are called in each language, test and live IDs, drafts. Nothing that exists is lost."""

import devices.models.products
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The shops that Amazon's pages name (Alexa reference 9.2); staff add others as rows.
SHOPS = {
    "US": ("United States", "en-US"),
    "UK": ("United Kingdom", "en-GB"),
    "DE": ("Germany", "de-DE"),
    "FR": ("France", "fr-FR"),
    "IT": ("Italy", "it-IT"),
    "ES": ("Spain", "es-ES"),
    "JP": ("Japan", "ja-JP"),
}


def open_shops(apps, schema_editor):
    marketplace = apps.get_model("devices", "Marketplace")
    for code, (name, locale) in SHOPS.items():
        marketplace.objects.get_or_create(code=code, defaults={"name": name, "locale": locale})


def keep_what_alexa_was_told(apps, schema_editor):
    """An ID in use becomes the live one where it is the only one of its kind; a twin stays as it is, for lint to name."""
    slots = apps.get_model("devices", "Slot").objects
    twice = slots.exclude(replenishment_id="").values("replenishment_id")
    twice = twice.annotate(n=models.Count("pk")).filter(n__gt=1).values("replenishment_id")
    slots.exclude(replenishment_id__in=twice).update(live_replenishment_id=models.F("replenishment_id"))
    having = slots.exclude(replenishment_id="").values("device_model")
    apps.get_model("devices", "DeviceModel").objects.filter(pk__in=having).update(drs_state="testing")


def call_slots_by_their_language(apps, schema_editor):
    for slot in apps.get_model("devices", "Slot").objects.filter(names={}).iterator():
        slot.names = {slot.locale: [slot.name]}
        slot.save(update_fields=["names"])


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0002_units'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HandCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('item', models.CharField(max_length=64)),
                ('note', models.CharField(max_length=500)),
                ('checked_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['item'],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Marketplace',
            fields=[
                ('code', models.CharField(max_length=2, primary_key=True, serialize=False, validators=[django.core.validators.RegexValidator('\\A[A-Z]{2}\\Z', 'Two capital letters, e.g. US.')])),
                ('name', models.CharField(max_length=60)),
                ('locale', models.CharField(help_text='The language in which names are shown there, e.g. de-DE.', max_length=5, validators=[django.core.validators.RegexValidator('\\A[a-z]{2}-[A-Z]{2}\\Z', 'A language and a country, e.g. de-DE.')])),
            ],
            options={
                'ordering': ['code'],
            },
        ),
        migrations.CreateModel(
            name='ModelMarketplace',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('friendly_name', models.CharField(help_text='In the language of the marketplace.', max_length=128)),
            ],
            options={
                'ordering': ['device_model_id', 'marketplace_id'],
            },
        ),
        migrations.CreateModel(
            name='Picture',
            fields=[
                ('digest', models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ('media_type', models.CharField(max_length=16)),
                ('content', models.BinaryField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Revision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published'), ('discarded', 'Discarded')], default='draft', max_length=16)),
                ('snapshot', models.JSONField()),
                ('changes', models.JSONField(default=list, help_text='What the publication changed, in words.')),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('devices', models.PositiveBigIntegerField(default=0, help_text='Owned devices that were to be told.')),
                ('told_up_to', models.BigIntegerField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('edited_at', models.DateTimeField(auto_now=True)),
                ('published_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-pk'],
                'default_permissions': ('view',),
            },
        ),
        migrations.AlterModelOptions(
            name='devicemodel',
            options={'ordering': ['model_id'], 'permissions': [('publish_devicemodel', 'Can publish a draft of a device model')]},
        ),
        migrations.AddField(
            model_name='devicemodel',
            name='capabilities',
            field=models.JSONField(blank=True, default=list, help_text="Interfaces besides the slots' and those that every model has."),
        ),
        migrations.AddField(
            model_name='devicemodel',
            name='drs_state',
            field=models.CharField(choices=[('draft', 'Draft: not yet shown to Amazon'), ('testing', 'Testing: with test replenishment IDs'), ('certified', 'Certified: with live replenishment IDs'), ('locked', 'Locked: only marketplaces may be added')], default='draft', max_length=16, verbose_name='DRS state'),
        ),
        migrations.AddField(
            model_name='devicemodel',
            name='warranty_months',
            field=models.PositiveSmallIntegerField(default=24, help_text='Counted from the claim; 0: none.', validators=[django.core.validators.MaxValueValidator(240)]),
        ),
        migrations.AddField(
            model_name='slot',
            name='live_replenishment_id',
            field=models.CharField(blank=True, max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='live replenishment ID'),
        ),
        migrations.AddField(
            model_name='slot',
            name='names',
            field=models.JSONField(blank=True, default=dict, help_text='Names by language, synonyms after the first: {"de-DE": ["Kaffeebohnen", "Bohnen"]}.'),
        ),
        migrations.AddField(
            model_name='slot',
            name='raw_factor',
            field=models.DecimalField(decimal_places=9, default=1, help_text='Reported = (sent - zero) x factor; 1 where the device counts as we do.', max_digits=18),
        ),
        migrations.AddField(
            model_name='slot',
            name='raw_zero',
            field=models.DecimalField(decimal_places=3, default=0, help_text='The figure that a device sends when there is nothing.', max_digits=12),
        ),
        migrations.AddField(
            model_name='slot',
            name='test_replenishment_id',
            field=models.CharField(blank=True, max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='test replenishment ID'),
        ),
        migrations.AlterField(
            model_name='devicemodel',
            name='model_id',
            field=models.CharField(default=devices.models.products.new_model_id, help_text="As in Amazon's Dash console. It stays for ever.", max_length=64, unique=True, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9+_-]+\\Z', 'Use letters, digits, plus, underscore and hyphen only.')], verbose_name='model ID'),
        ),
        migrations.AlterField(
            model_name='slot',
            name='replenishment_id',
            field=models.CharField(blank=True, help_text='What Alexa is told now: the test ID until the model is certified, then the live one.', max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='replenishment ID'),
        ),
        migrations.RunPython(open_shops, migrations.RunPython.noop),
        migrations.RunPython(keep_what_alexa_was_told, migrations.RunPython.noop),
        migrations.RunPython(call_slots_by_their_language, migrations.RunPython.noop),
        # Rows have just been written: what their foreign keys still wait for must be judged before indexes are made.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='slot',
            constraint=models.UniqueConstraint(condition=models.Q(('test_replenishment_id', ''), _negated=True), fields=('test_replenishment_id',), name='test_replenishment_id_once'),
        ),
        migrations.AddConstraint(
            model_name='slot',
            constraint=models.UniqueConstraint(condition=models.Q(('live_replenishment_id', ''), _negated=True), fields=('live_replenishment_id',), name='live_replenishment_id_once'),
        ),
        migrations.AddField(
            model_name='handcheck',
            name='checked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='handcheck',
            name='device_model',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hand_checks', to='devices.devicemodel'),
        ),
        migrations.AddField(
            model_name='modelmarketplace',
            name='device_model',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marketplaces', to='devices.devicemodel'),
        ),
        migrations.AddField(
            model_name='modelmarketplace',
            name='marketplace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='devices.marketplace'),
        ),
        migrations.AddField(
            model_name='devicemodel',
            name='picture',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='devices.picture'),
        ),
        migrations.AddField(
            model_name='revision',
            name='device_model',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='revisions', to='devices.devicemodel'),
        ),
        migrations.AddField(
            model_name='revision',
            name='edited_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='revision',
            name='published_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='handcheck',
            constraint=models.UniqueConstraint(fields=('device_model', 'item'), name='hand_check_once_per_model'),
        ),
        migrations.AddConstraint(
            model_name='modelmarketplace',
            constraint=models.UniqueConstraint(fields=('device_model', 'marketplace'), name='marketplace_once_per_model'),
        ),
        migrations.AddIndex(
            model_name='revision',
            index=models.Index(condition=models.Q(('told_up_to__isnull', False)), fields=['id'], name='revision_to_be_told'),
        ),
        migrations.AddConstraint(
            model_name='revision',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'draft')), fields=('device_model',), name='one_draft_per_model'),
        ),
    ]
