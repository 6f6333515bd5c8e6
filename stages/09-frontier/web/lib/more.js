// Pages of a later stage, which serves a file of its own under this name.
export const MORE = [];
