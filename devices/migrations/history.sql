-- The history of readings: partitions of readings by month, of days by year (history.py says why), sequence numbers 64 to a row,
-- and the function that records readings, because it belongs to these tables; what it promises stands in inventory.py.

CREATE SEQUENCE devices_reading_number;
CREATE TABLE devices_reading (
    id bigint NOT NULL DEFAULT nextval('devices_reading_number'),
    device_id bigint NOT NULL,
    slot_id bigint NOT NULL,
    epoch integer NOT NULL,
    sequence bigint NOT NULL,
    value numeric(12, 3) NOT NULL,
    measured_at timestamptz NOT NULL,
    heard_at timestamptz NOT NULL,
    CONSTRAINT devices_reading_key PRIMARY KEY (id, heard_at)
) PARTITION BY RANGE (heard_at);
ALTER SEQUENCE devices_reading_number OWNED BY devices_reading.id;
CREATE INDEX reading_in_order ON devices_reading (device_id, slot_id, epoch, sequence);
CREATE TABLE devices_reading_default PARTITION OF devices_reading DEFAULT;

CREATE TABLE devices_heardsequences (
    device_id bigint NOT NULL,
    slot_id bigint NOT NULL,
    epoch integer NOT NULL,
    block bigint NOT NULL,
    bits bigint NOT NULL,
    CONSTRAINT devices_heardsequences_key PRIMARY KEY (device_id, slot_id, epoch, block)
) WITH (fillfactor = 80);

CREATE TABLE devices_dailyuse (
    device_id bigint NOT NULL,
    slot_id bigint NOT NULL,
    day date NOT NULL,
    readings integer NOT NULL,
    minimum numeric(12, 3) NOT NULL,
    maximum numeric(12, 3) NOT NULL,
    last numeric(12, 3) NOT NULL,
    consumed numeric(24, 3) NOT NULL,
    epoch integer NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT devices_dailyuse_key PRIMARY KEY (device_id, slot_id, day)
) PARTITION BY RANGE (day);
CREATE TABLE devices_dailyuse_default PARTITION OF devices_dailyuse DEFAULT;

-- The partitions of the time to come: three months and a year ahead.
DO $$
DECLARE
    this_month date := date_trunc('month', now() AT TIME ZONE 'UTC');
    this_year date := date_trunc('year', now() AT TIME ZONE 'UTC');
    start date;
BEGIN
    FOR n IN 0..3 LOOP
        start := this_month + make_interval(months => n);
        EXECUTE format(
            'CREATE TABLE devices_reading_p%s PARTITION OF devices_reading'
            ' FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 100)',
            to_char(start, 'YYYYMM'), start || ' 00:00:00+00', (start + interval '1 month')::date || ' 00:00:00+00'
        );
    END LOOP;
    FOR n IN 0..1 LOOP
        start := this_year + make_interval(years => n);
        EXECUTE format(
            'CREATE TABLE devices_dailyuse_p%s PARTITION OF devices_dailyuse'
            ' FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 80)',
            to_char(start, 'YYYYMM'), start, (start + interval '1 year')::date
        );
    END LOOP;
END
$$;

-- The state is written with every reading: room for its next version beside it.
ALTER TABLE devices_inventory SET (fillfactor = 80);

-- Where each of these stands in what is stored: is it known, with which value, and between which neighbours would it fall?
-- The reading after it is at the latest the state itself, whose own row may have been dropped with its month.
CREATE FUNCTION devices_standing(
    the_device bigint, slots bigint[], epochs integer[], sequences bigint[],
    held_slot bigint[], held_epoch integer[], held_sequence bigint[], held_value numeric[], held_moment timestamptz[]
) RETURNS TABLE (place bigint, known boolean, stored numeric, before numeric, after_epoch integer,
    after_sequence bigint, after_value numeric, after_moment timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT u.place, coalesce(m.bits >> (u.sequence & 63)::integer & 1 = 1, false), it.value, b.value,
        CASE WHEN not_newer THEN coalesce(a.epoch, h.epoch) END,
        CASE WHEN not_newer THEN coalesce(a.sequence, h.sequence) END,
        CASE WHEN not_newer THEN coalesce(a.value, h.value) END,
        CASE WHEN not_newer THEN coalesce(a.measured_at, h.moment) END
    FROM unnest(slots, epochs, sequences) WITH ORDINALITY AS u (slot, epoch, sequence, place)
    JOIN unnest(held_slot, held_epoch, held_sequence, held_value, held_moment)
        AS h (slot, epoch, sequence, value, moment) USING (slot)
    CROSS JOIN LATERAL (SELECT (u.epoch, u.sequence) <= (h.epoch, h.sequence) AS not_newer) AS o
    LEFT JOIN devices_heardsequences m
        ON m.device_id = the_device AND m.slot_id = u.slot AND m.epoch = u.epoch AND m.block = u.sequence >> 6
    LEFT JOIN LATERAL (
        SELECT r.value FROM devices_reading r
        WHERE not_newer AND r.device_id = the_device AND r.slot_id = u.slot
            AND r.epoch = u.epoch AND r.sequence = u.sequence LIMIT 1
    ) AS it ON true
    LEFT JOIN LATERAL (
        SELECT r.value FROM devices_reading r
        WHERE not_newer AND r.device_id = the_device AND r.slot_id = u.slot
            AND (r.epoch, r.sequence) < (u.epoch, u.sequence)
        ORDER BY r.epoch DESC, r.sequence DESC LIMIT 1
    ) AS b ON true
    LEFT JOIN LATERAL (
        SELECT r.epoch, r.sequence, r.value, r.measured_at FROM devices_reading r
        WHERE not_newer AND r.device_id = the_device AND r.slot_id = u.slot
            AND (r.epoch, r.sequence) > (u.epoch, u.sequence)
        ORDER BY r.epoch, r.sequence LIMIT 1
    ) AS a ON true
$$;

-- One call is one batch of one device, in arrays of equal length in the order of the question. A single reading that is
-- newer than the state, which is what nearly every call brings, goes the short way at the beginning (a quarter of the time);
-- the long way would do the same with it. Steps of the long way: make and lock the
-- Inventory rows by slot; if anything is not newer than the state, look at the heard sequences and, for its day, at the
-- neighbours; then one statement stores, marks, adds up the days and moves the state. Each step is a statement of its
-- own so that it sees what was committed while the step before waited for its lock.
CREATE FUNCTION devices_record_readings(
    the_device bigint, heard timestamptz, slots bigint[], levels boolean[], epochs integer[], sequences bigint[],
    amounts numeric[], moments timestamptz[]
) RETURNS TABLE (recorded boolean, stored numeric, moved boolean, previous numeric)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held record;
    late boolean;
    was record;
BEGIN
    IF cardinality(slots) = 1 THEN
        SELECT epoch, sequence, value INTO held FROM devices_inventory
        WHERE device_id = the_device AND slot_id = slots[1] FOR NO KEY UPDATE;
        IF FOUND AND (epochs[1], sequences[1]) > (held.epoch, held.sequence) THEN
            UPDATE devices_inventory SET epoch = epochs[1], sequence = sequences[1], value = amounts[1],
                measured_at = moments[1], heard_at = heard
            WHERE device_id = the_device AND slot_id = slots[1];
            INSERT INTO devices_reading (device_id, slot_id, epoch, sequence, value, measured_at, heard_at)
            VALUES (the_device, slots[1], epochs[1], sequences[1], amounts[1], moments[1], heard);
            INSERT INTO devices_heardsequences AS m (device_id, slot_id, epoch, block, bits)
            VALUES (the_device, slots[1], epochs[1], sequences[1] >> 6, 1::bigint << (sequences[1] & 63)::integer)
            ON CONFLICT (device_id, slot_id, epoch, block) DO UPDATE SET bits = m.bits | EXCLUDED.bits;
            INSERT INTO devices_dailyuse AS d
                (device_id, slot_id, day, readings, minimum, maximum, last, consumed, epoch, sequence)
            VALUES (the_device, slots[1], (moments[1] AT TIME ZONE 'UTC')::date, 1, amounts[1], amounts[1], amounts[1],
                CASE WHEN levels[1] THEN greatest(held.value - amounts[1], 0) ELSE amounts[1] END,
                epochs[1], sequences[1])
            ON CONFLICT (device_id, slot_id, day) DO UPDATE SET
                readings = d.readings + 1,
                minimum = least(d.minimum, EXCLUDED.minimum),
                maximum = greatest(d.maximum, EXCLUDED.maximum),
                consumed = d.consumed + EXCLUDED.consumed,
                last = EXCLUDED.last, epoch = EXCLUDED.epoch, sequence = EXCLUDED.sequence;
            RETURN QUERY VALUES (true, NULL::numeric, true, held.value);
            RETURN;
        END IF;
    END IF;

    INSERT INTO devices_inventory (device_id, slot_id, value, measured_at, heard_at, epoch, sequence)
    SELECT DISTINCT the_device, wanted.slot, 0, heard, heard, -1, 0
    FROM unnest(slots) AS wanted (slot)
    WHERE NOT EXISTS (SELECT FROM devices_inventory i WHERE i.device_id = the_device AND i.slot_id = wanted.slot)
    ORDER BY 2
    ON CONFLICT (device_id, slot_id) DO NOTHING;

    SELECT array_agg(i.slot_id) AS slot, array_agg(i.epoch) AS epoch, array_agg(i.sequence) AS sequence,
        array_agg(i.value) AS value, array_agg(i.measured_at) AS moment INTO held
    FROM (
        SELECT * FROM devices_inventory
        WHERE device_id = the_device AND slot_id = ANY (slots) ORDER BY slot_id FOR NO KEY UPDATE
    ) AS i;

    SELECT bool_or((u.epoch, u.sequence) <= (h.epoch, h.sequence)) INTO late
    FROM unnest(slots, epochs, sequences) AS u (slot, epoch, sequence)
    JOIN unnest(held.slot, held.epoch, held.sequence) AS h (slot, epoch, sequence) USING (slot);

    IF late THEN
        SELECT array_agg(w.known ORDER BY w.place) AS known, array_agg(w.stored ORDER BY w.place) AS stored,
            array_agg(w.before ORDER BY w.place) AS before, array_agg(w.after_epoch ORDER BY w.place) AS after_epoch,
            array_agg(w.after_sequence ORDER BY w.place) AS after_sequence,
            array_agg(w.after_value ORDER BY w.place) AS after_value,
            array_agg(w.after_moment ORDER BY w.place) AS after_moment INTO was
        FROM devices_standing(the_device, slots, epochs, sequences, held.slot, held.epoch, held.sequence, held.value,
            held.moment) AS w;
    ELSE
        SELECT NULL::boolean[] AS known, NULL::numeric[] AS stored, NULL::numeric[] AS before,
            NULL::integer[] AS after_epoch, NULL::bigint[] AS after_sequence, NULL::numeric[] AS after_value,
            NULL::timestamptz[] AS after_moment INTO was;
    END IF;

    RETURN QUERY
    WITH said AS MATERIALIZED (
        SELECT u.*, h.epoch AS held_epoch, h.sequence AS held_sequence, h.value AS held_value,
            (u.epoch, u.sequence) > (h.epoch, h.sequence) AS newer,
            row_number() OVER again AS nth, first_value(u.amount) OVER again AS first_said
        FROM unnest(slots, levels, epochs, sequences, amounts, moments, was.known, was.stored, was.before,
            was.after_epoch, was.after_sequence, was.after_value, was.after_moment) WITH ORDINALITY
            AS u (slot, level, epoch, sequence, amount, moment, known, stored, before, after_epoch, after_sequence,
                after_value, after_moment, place)
        JOIN unnest(held.slot, held.epoch, held.sequence, held.value) AS h (slot, epoch, sequence, value) USING (slot)
        WINDOW again AS (PARTITION BY u.slot, u.epoch, u.sequence ORDER BY u.place)
    ), fresh AS MATERIALIZED (
        SELECT *, lag(amount, 1, CASE WHEN newer THEN CASE WHEN held_epoch >= 0 THEN held_value END ELSE before END)
                OVER gap AS prior,
            lead(place) OVER gap IS NULL AS ends_gap
        FROM said WHERE nth = 1 AND known IS NOT TRUE
        WINDOW gap AS (PARTITION BY slot, after_epoch, after_sequence ORDER BY epoch, sequence)
    ), storing AS (
        INSERT INTO devices_reading (device_id, slot_id, epoch, sequence, value, measured_at, heard_at)
        SELECT the_device, slot, epoch, sequence, amount, moment, heard FROM fresh ORDER BY place
    ), marking AS (
        INSERT INTO devices_heardsequences AS m (device_id, slot_id, epoch, block, bits)
        SELECT the_device, slot, epoch, sequence >> 6, bit_or(1::bigint << (sequence & 63)::integer)
        FROM fresh GROUP BY slot, epoch, sequence >> 6
        ON CONFLICT (device_id, slot_id, epoch, block) DO UPDATE SET bits = m.bits | EXCLUDED.bits
    ), told AS (
        SELECT slot, (moment AT TIME ZONE 'UTC')::date AS day, 1 AS readings, amount, epoch, sequence,
            CASE WHEN level THEN greatest(prior - amount, 0) ELSE amount END AS consumed
        FROM fresh
        UNION ALL  -- the reading after a gap fell from its old neighbour; now it falls from the new one
        SELECT slot, (after_moment AT TIME ZONE 'UTC')::date, 0, after_value, after_epoch, after_sequence,
            greatest(amount - after_value, 0) - coalesce(greatest(before - after_value, 0), 0)
        FROM fresh WHERE level AND ends_gap AND after_epoch IS NOT NULL
    ), adding AS (
        INSERT INTO devices_dailyuse AS d
            (device_id, slot_id, day, readings, minimum, maximum, last, consumed, epoch, sequence)
        SELECT the_device, slot, day, sum(readings), min(amount), max(amount),
            (array_agg(amount ORDER BY epoch DESC, sequence DESC))[1], coalesce(sum(consumed), 0),
            (array_agg(epoch ORDER BY epoch DESC, sequence DESC))[1],
            (array_agg(sequence ORDER BY epoch DESC, sequence DESC))[1]
        FROM told GROUP BY slot, day
        ON CONFLICT (device_id, slot_id, day) DO UPDATE SET
            readings = d.readings + EXCLUDED.readings,
            minimum = least(d.minimum, EXCLUDED.minimum),
            maximum = greatest(d.maximum, EXCLUDED.maximum),
            consumed = d.consumed + EXCLUDED.consumed,
            last = CASE WHEN (d.epoch, d.sequence) < (EXCLUDED.epoch, EXCLUDED.sequence) THEN EXCLUDED.last ELSE d.last END,
            sequence = CASE WHEN (d.epoch, d.sequence) < (EXCLUDED.epoch, EXCLUDED.sequence)
                THEN EXCLUDED.sequence ELSE d.sequence END,
            epoch = greatest(d.epoch, EXCLUDED.epoch)
    ), newest AS MATERIALIZED (
        SELECT DISTINCT ON (slot) * FROM fresh WHERE newer ORDER BY slot, epoch DESC, sequence DESC
    ), moving AS (
        UPDATE devices_inventory AS i
        SET epoch = n.epoch, sequence = n.sequence, value = n.amount, measured_at = n.moment, heard_at = heard
        FROM newest AS n WHERE i.device_id = the_device AND i.slot_id = n.slot
    )
    SELECT said.nth = 1 AND said.known IS NOT TRUE,
        CASE WHEN said.known THEN said.stored WHEN said.nth > 1 THEN said.first_said END,
        newest.place IS NOT NULL,
        CASE WHEN said.held_epoch >= 0 THEN said.held_value END
    FROM said LEFT JOIN newest USING (place) ORDER BY said.place;
END
$$;
