"""A message and its body are kept by a function of the database: SNS posts one message at a time, and what a statement as long as
this costs to be understood and planned, each time anew, is more than what it costs to do."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION notifications_keep_message(
    the_topic bigint, the_message_id text, the_kind text, the_subject text, sent timestamptz, way text, the_sealed bytea,
    the_verdicts jsonb, the_state text, the_reason text, waits boolean, the_body text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    kept bigint;
BEGIN
    INSERT INTO notifications_message (topic_id, message_id, kind, subject, sent_at, came_by, sealed, verdicts, state, reason,
        received_at, due_at, attempts, error)
    VALUES (the_topic, the_message_id, the_kind, the_subject, sent, way, the_sealed, the_verdicts, the_state, the_reason,
        now(), CASE WHEN waits THEN now() END, 0, '')
    ON CONFLICT (topic_id, message_id) DO NOTHING RETURNING id INTO kept;
    IF kept IS NOT NULL THEN
        INSERT INTO notifications_messagebody (message_id, received_at, body) VALUES (kept, now(), the_body);
    END IF;
    RETURN kept;
END
$$;
"""


class Migration(migrations.Migration):

    dependencies = [("notifications", "0012_found_at")]

    operations = [migrations.RunSQL(FUNCTION, "DROP FUNCTION notifications_keep_message")]
