"""A facade in front of Tryton: contract.py is what is spoken, api.py HTTP, records.py the mapping, transactions.py how work is done once."""
