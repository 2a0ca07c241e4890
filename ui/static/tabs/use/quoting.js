// Values as the languages write them, whatever is in them.
const PLAIN = /^[\w@%+=:,./-]+$/;

export const shell = (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

// Of texts, numbers and lists of texts: JSON is a literal of Python and of JavaScript too. Half a surrogate pair is escaped.
export const literal = (value) => (Array.isArray(value) ? `[${value.map(literal).join(", ")}]` : JSON.stringify(value));

// An 8 x 8 picture of two halves, for those who have none.
export const TINY_PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGklEQVR42mO0ibrDAAOrHiXA2UwMOMDglAAAinQDblMatnQAAAAASUVORK5CYII=";
