"""One function per table or figure; results are small frames that notebooks show."""
