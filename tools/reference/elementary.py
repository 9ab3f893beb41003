#!/usr/bin/env python3
"""Coefficients of crates/fp8-kernels/src/math.rs: minimax polynomials by the exchange algorithm of Remez.

    pip install mpmath
    python tools/reference/elementary.py

q: (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2, least relative error of e^r.
r: (2 atanh(s) - 2 s) / s^3 as a polynomial in s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1), least relative error of 2 atanh(s).
Intervals are wider by 1/1000 than the reductions need.
"""

from mpmath import cos, exp, fabs, log, lu_solve, matrix, mp, mpf, pi, sqrt

mp.dps = 40
GRID = 2000


def remez(f, weight, degree, low, high):
    """Coefficients of p, lowest first, and the largest |weight * (p - f)|."""
    count = degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    grid = [low + (high - low) * i / GRID for i in range(GRID + 1)]
    for _ in range(30):
        a, b = matrix(count, count), matrix(count, 1)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                a[i, j] = x**j
            a[i, degree + 1], b[i] = (-1) ** i / weight(x), f(x)
        p = list(lu_solve(a, b)[: degree + 1])
        errors = [weight(x) * (sum(c * x**j for j, c in enumerate(p)) - f(x)) for x in grid]
        points = extrema(grid, errors)
        while len(points) > count:
            points = points[1:] if fabs(errors[grid.index(points[0])]) < fabs(errors[grid.index(points[-1])]) else points[:-1]
        if len(points) < count:
            break
    return p, max(fabs(e) for e in errors)


def extrema(grid, errors):
    """Where |error| is largest in each run of equal sign."""
    points, best = [], 0
    for i in range(1, len(grid) + 1):
        if i == len(grid) or (errors[i] > 0) != (errors[best] > 0):
            points.append(grid[best])
            best = i
        elif fabs(errors[i]) > fabs(errors[best]):
            best = i
    return points


def main():
    tiny = mpf("1e-12")
    q = lambda r: (exp(r) - 1 - r) / r**2 if fabs(r) > tiny else 1 / mpf(2) + r / 6
    half = log(2) / 2 * mpf("1.001")
    show("q", remez(q, lambda r: (r**2 + tiny**2) / exp(r), 4, -half, half))
    r = lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) - 2 * sqrt(z)) / sqrt(z) ** 3 if z > tiny else 2 / mpf(3) + 2 * z / 5
    widest = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * mpf("1.001")
    show("r", remez(r, lambda z: (z + tiny**2) / 2, 2, mpf(0), widest))


def show(name, result):
    coefficients, error = result
    print(f"{name}: {', '.join(mp.nstr(c, 10) for c in coefficients)}; error 2^{mp.nstr(log(error, 2), 4)}")


if __name__ == "__main__":
    main()
