"""Where records come from: our crawler, WARC, tables, Wikipedia dumps. Each reader yields records or bad records."""
