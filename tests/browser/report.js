// Shared by the pages: the question (the build, the number of threads, the course's cases) and the place for the answer.

const query = new URLSearchParams(location.search);
export const variant = query.get("variant");
export const threads = Number(query.get("threads") ?? 1);
export const { coursera: course } = await (await fetch("/golden/course.json")).json();

/** Puts what `run` gives into the page as JSON; of an error, its name and message. */
export async function show(run) {
  const result = document.querySelector("#result");
  try {
    result.textContent = JSON.stringify(await run());
  } catch (error) {
    result.textContent = JSON.stringify({ error: { name: error.name, message: error.message } });
  }
}
