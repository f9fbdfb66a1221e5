-- Weekly commitments of traders out of the supplemental series in the long record tables, one row
-- per report and contract, as HAWK_COMMITMENTS reads them. `desk` is the dataset; see README.md.
--
-- A record's time is the day it reports, a Tuesday as a rule. The day of release is not in the
-- series: hawk takes it from the calendar of the CFTC. Where the desk records it, add a column
-- release_date of type DATE; it is used as it is.
CREATE OR REPLACE VIEW `desk.commitments_of_traders` AS
WITH latest AS (
  SELECT
    DATE(r.record_timestamp) AS report_date,
    r.hawk_id,
    f.field_name,
    ARRAY_AGG(
      STRUCT(r.double_value AS number) ORDER BY r.record_timestamp DESC, r.double_value DESC
    )[OFFSET(0)].number AS double_value
  FROM `desk.records` AS r
  JOIN `desk.fields` AS f ON f.field_id = r.field_id
  WHERE f.field_name IN (
    'commercial_long_1w', 'commercial_short_1w', 'noncommercial_long_1w', 'noncommercial_short_1w',
    'open_interest_1w'
  )
  GROUP BY report_date, r.hawk_id, f.field_name
)
SELECT
  l.report_date,
  i.value AS contract,
  MAX(IF(l.field_name = 'commercial_long_1w', l.double_value, NULL)) AS commercial_long,
  MAX(IF(l.field_name = 'commercial_short_1w', l.double_value, NULL)) AS commercial_short,
  MAX(IF(l.field_name = 'noncommercial_long_1w', l.double_value, NULL)) AS noncommercial_long,
  MAX(IF(l.field_name = 'noncommercial_short_1w', l.double_value, NULL)) AS noncommercial_short,
  MAX(IF(l.field_name = 'open_interest_1w', l.double_value, NULL)) AS open_interest
FROM latest AS l
JOIN `desk.hawk_identifiers` AS i ON i.hawk_id = l.hawk_id
GROUP BY l.report_date, l.hawk_id, i.value;
