#!/bin/sh
# A file with a dot in its name is a file all the same.
echo app.py
