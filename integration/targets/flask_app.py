"""The Flask application of the demo."""
import time

from flask import Flask, jsonify

app = Flask(__name__)


def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def load_orders(customer):
    time.sleep(0.002)  # a database
    return [{"id": customer * 100 + item, "price": fibonacci(item % 8)} for item in range(20)]


def total_price(orders):
    return sum(order["price"] for order in orders)


@app.route("/customer/<int:customer>")
def show_customer(customer):
    orders = load_orders(customer)
    return jsonify(customer=customer, orders=len(orders), total=total_price(orders))
