// The texts that the page comes with: files that the build script puts beside it, and a short one.

const HOUSE = [
  "the house that Jack built",
  "the malt,\nThat lay in",
  "the rat,\nThat ate",
  "the cat,\nThat killed",
  "the dog,\nThat worried",
  "the cow with the crumpled horn,\nThat tossed",
  "the maiden all forlorn,\nThat milked",
  "the man all tattered and torn,\nThat kissed",
  "the priest all shaven and shorn,\nThat married",
  "the cock that crowed in the morn,\nThat waked",
  "the farmer sowing his corn,\nThat kept",
  "the horse and the hound and the horn,\nThat belonged to",
];

/** The nursery rhyme in which every verse says all those before again. */
export function houseThatJackBuilt(): string {
  const verses = HOUSE.map((_, last) =>
    HOUSE.slice(0, last + 1)
      .reverse()
      .join(" "),
  );
  return verses.map((verse) => `This is ${verse}.\n\n`).join("");
}

/** One of the files that the build script puts beside the page. */
export async function readText(file: string): Promise<string> {
  const response = await fetch(new URL(file, document.baseURI));
  if (!response.ok) throw new Error(`${file} could not be read: ${response.status} ${response.statusText}`);
  return response.text();
}
