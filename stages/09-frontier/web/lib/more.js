// Pages of a later stage, which serves a file of its own under this name.
export const MORE = [];
// The program that serves the pages, as their commands name it.
export const PROGRAM = "stage-09-frontier";
