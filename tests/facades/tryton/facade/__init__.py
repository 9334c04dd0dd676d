"""A facade in front of Tryton."""
