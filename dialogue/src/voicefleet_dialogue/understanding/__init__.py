"""What the caller said, by the cheapest thing that is sure: grammar and libraries.

The words are data (`locales/`); no model here. Date libraries were tried on telephone speech
("next tuesday at half past two", "the fifteenth"): dateparser, parsedatetime and recurrent got none
to two of nine right, so dates and times have a grammar of their own.
"""
