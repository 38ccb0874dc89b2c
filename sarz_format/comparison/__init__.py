"""How one raster differs from another, by the measures that SAR work judges by; docs/comparison.md defines each.

::

    inputs --strips--> cells --a cell a thread--> difference, power, looks, targets, edges, ratio --> report, plot

Each measure is a class of three methods: `of` takes what it needs of a cell (in any thread), `add` takes that in (in
order, so that sums do not depend on threads), and `summary` gives the figures.
"""
