"""The Tryton module `norce`; tryton.cfg says what is in it."""
