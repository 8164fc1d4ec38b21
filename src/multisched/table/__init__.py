"""The way of a number: from a solver's formula to the samples of a run.

The weights of a step depend on the grid alone, so they are computed once. The mathematics is in `tableau`: it evaluates
a solver on one-hot operands and gets W, one matrix of float64 weights for each row (a row is one model call). For
devices, `packed` stores the same W as columns: an array (rows, columns) of the numbers, and a `Layout` of all that is
static, so that plans of one layout share one compiled step. Either way one row becomes a `Weights`: a plan takes its
floats straight from W when a state's index is an int, and gathers them from the columns when it is an array. The
arithmetic is in `kernel`: it multiplies `Weights` with the sample, the memory, the model's output and the noise. A run
puts these together in `stepper`, which finds the weights of the row where a `State` is and returns the next state.

    tableau   solver, grid, prediction -> `Tableau`, float64 on the host
    packed    `Layout`, the columns, and `Weights`, one row of them
    state     `State`, and the checks of what a user passes to a step
    kernel    weighted sums of arrays, eager and compiled
    stepper   `Stepper`, which plans and stacks share: `step`, `denoised`, `transition`
    begin     the first state of a plan
    plan      `Plan`, one run
    stack     `Stack`, a batch in which each sample has a run of its own

A module imports only modules that stand above it.
"""
