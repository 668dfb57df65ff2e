//! UDF file systems, and the UDF bridge images that Windows media are.
