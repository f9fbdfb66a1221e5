-- Daily bars out of the long record tables, one row per session and ticker, as HAWK_MARKET_DATA
-- reads them. `desk` is the dataset; see README.md.
--
-- The day is one of the keys of both groupings and is made of nothing but the partitioning column,
-- so that a condition on it reaches the partitions of `desk.records`.
CREATE OR REPLACE VIEW `desk.market_data` AS
WITH latest AS (
  SELECT
    DATE(r.record_timestamp) AS date,  -- in UTC; say DATE(..., 'zone') where the desk's day differs
    r.hawk_id,
    f.field_name,
    -- Of several records of a day the latest counts, of equally late ones the greatest: whichever
    -- order they are read in. A NULL that is later withdraws the value.
    ARRAY_AGG(
      STRUCT(r.double_value AS number) ORDER BY r.record_timestamp DESC, r.double_value DESC
    )[OFFSET(0)].number AS double_value
  FROM `desk.records` AS r
  JOIN `desk.fields` AS f ON f.field_id = r.field_id
  WHERE f.field_name IN ('open_1d', 'high_1d', 'low_1d', 'close_1d', 'volume_1d')
  GROUP BY date, r.hawk_id, f.field_name
)
SELECT
  l.date,
  i.value AS ticker,
  MAX(IF(l.field_name = 'open_1d', l.double_value, NULL)) AS open,
  MAX(IF(l.field_name = 'high_1d', l.double_value, NULL)) AS high,
  MAX(IF(l.field_name = 'low_1d', l.double_value, NULL)) AS low,
  MAX(IF(l.field_name = 'close_1d', l.double_value, NULL)) AS close,
  MAX(IF(l.field_name = 'volume_1d', l.double_value, NULL)) AS volume
FROM latest AS l
JOIN `desk.hawk_identifiers` AS i ON i.hawk_id = l.hawk_id
-- By the instrument, too: two that bear one ticker are an error that names it, never a mixture.
GROUP BY l.date, l.hawk_id, i.value;
