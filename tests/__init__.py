"""Tests; their checker of types is found as an attribute of this package."""

from tests import typechecker as typechecker
