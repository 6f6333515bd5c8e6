// The pages that this stage adds to the frontend of stage 09. It is served in place of the file of this name there.
export const MORE = [
  { name: "events", title: "Events" },
  { name: "webhooks", title: "Webhooks" },
  { name: "workers", title: "Workers" },
];
// The program that serves the pages, as their commands name it.
export const PROGRAM = "stage-10-frontier-events";
