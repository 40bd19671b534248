"""Adds an item and prints the inventory as JSON. Uses SQLAlchemy's Float, as the Python suite does. Argument: the database's URL."""
import json
import sys

from sqlalchemy import Column, Float, Integer, String, create_engine
from sqlalchemy.orm import declarative_base, sessionmaker

Base = declarative_base()


class Item(Base):
    __tablename__ = 'inventory'
    id = Column(Integer, primary_key=True)
    sku = Column(String(20), unique=True)
    name = Column(String(100))
    label = Column(String(50))
    price = Column(Float)
    quantity = Column(Integer)


session = sessionmaker(bind=create_engine(sys.argv[1]))()
session.add(Item(sku='FROM-PYTHON', name='n', label='l', price=12.5, quantity=1))
session.commit()
print(json.dumps([{'sku': item.sku, 'price': item.price} for item in session.query(Item).order_by(Item.id)]))
