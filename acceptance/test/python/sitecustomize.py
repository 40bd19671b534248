"""Lets a peer that reads MySQL with bare PyMySQL see prices as the Python suite does: as floats.

The suite reads through SQLAlchemy, whose Float column turns the Decimal of a DECIMAL column into a float
(see read_with_sqlalchemy.py). Python imports this file automatically when its directory is on PYTHONPATH.
"""
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

conversions[FIELD_TYPE.DECIMAL] = float
conversions[FIELD_TYPE.NEWDECIMAL] = float
