// How close a picture is to what was looked for, in words that mean the same whatever was looked for.
//
// A score is a cosine, and what is high depends on the base, on the adapter and on the kind of question: of OpenAI's CLIP
// any two photographs have 0.5 and a fitting text 0.3, of the embedded base 0.05 and 0.25. So the words are measured on
// the very pictures that are searched. For texts: how far a score lies above those of texts that no picture shows, in
// their standard deviations. For pictures: how much of the way from what two of these pictures ordinarily have to 1.
import { get, new_key, post } from "../../lib/api.js";

export const WORDS = ["hardly", "somewhat", "close", "very_close"];
const SHOWN_BY_NONE = ["a tax form", "a stock market crash", "the third amendment to a contract"];
const TEXT_STEPS = [1.5, 3, 5];
const PICTURE_STEPS = [0.18, 0.35, 0.6];
const MOST = 1000; // that one request answers
const LEAST_SPREAD = 0.02; // of so few pictures that they have none
const NEGATIVE = 0.5; // of the unit vector of what is not looked for (docs/search.md)

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// So many standard deviations above the middle begins the uppermost `share` of a normal distribution, to 0.003
// (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.22).
function above(share) {
  const root = Math.sqrt(-2 * Math.log(share));
  return root - (2.30753 + 0.27061 * root) / (1 + 0.99229 * root + 0.04481 * root * root);
}

// Middle and standard deviation of `count` scores, of which the highest are known, best first.
export function distribution(scores, count) {
  const whole = Math.min(0.5, scores.length / count);
  const at = (share) => scores[Math.min(scores.length - 1, Math.floor(share * count))];
  const spread = Math.max(LEAST_SPREAD, (at(whole / 4) - at(whole)) / (above(whole / 4) - above(whole)));
  return { middle: at(whole) - above(whole) * spread, spread };
}

const measured = new Map(); // promises by place, adapter and kind

function once(key, measure) {
  if (!measured.has(key)) measured.set(key, measure().catch((error) => (measured.delete(key), Promise.reject(error))));
  return measured.get(key);
}

async function distributions(place, adapter, questions) {
  const found = [];
  for (const question of questions) {
    const body = { adapter, [`${place.kind}_id`]: place.id, top_k: MOST, ...question };
    const { results } = await post("/retrieve", body, { key: new_key() }); // asked again where the service was away
    if (results.length) found.push(distribution(results.map((match) => match.score), Math.max(place.count, results.length)));
  }
  return found.length ? { middle: mean(found.map((one) => one.middle)), spread: mean(found.map((one) => one.spread)) } : { middle: 0, spread: 0.1 };
}

const of_texts = (place, adapter) =>
  once(`${place.key} ${place.count} ${adapter} text`, async () => {
    const { middle, spread } = await distributions(place, adapter, SHOWN_BY_NONE.map((text) => ({ text })));
    return { middle, steps: TEXT_STEPS.map((step) => middle + step * spread) };
  });

const of_pictures = (place, adapter) =>
  once(`${place.key} ${place.count} ${adapter} picture`, async () => {
    const { items } = await get(`/${place.kind}s/${place.id}/images?limit=100`);
    const some = [0, items.length >> 1, items.length - 1].map((index) => items[index]).filter(Boolean);
    const questions = [...new Set(some)].map((image) => ({ image_id: String(image.id ?? image.position) }));
    const { middle } = await distributions(place, adapter, questions);
    return { middle, steps: PICTURE_STEPS.map((step) => middle + step * (1 - middle)) };
  });

// The scores from which on a picture is somewhat close, close and very close to what `question` asks for.
export async function steps_of({ place, adapter, text, picture, weight, negative }) {
  const texts = text || negative ? await of_texts(place, adapter) : null;
  const pictures = picture ? await of_pictures(place, adapter) : null;
  let steps = (text ? texts : pictures).steps;
  if (text && picture) {
    const length = Math.sqrt(weight ** 2 + (1 - weight) ** 2 + 2 * weight * (1 - weight) * texts.middle);
    steps = steps.map((step, index) => (weight * step + (1 - weight) * pictures.steps[index]) / length);
  }
  if (!negative) return steps;
  const alike = text ? 0.5 : texts.middle; // about the cosine of two texts
  const length = Math.sqrt(1 + NEGATIVE ** 2 - 2 * NEGATIVE * alike);
  return steps.map((step) => (step - NEGATIVE * texts.middle) / length);
}

// One of WORDS by its number.
export const level = (score, steps) => steps.filter((step) => score >= step).length;

// The score at a place of the threshold: 0 is all, 1 to 3 the steps, what lies between is between.
export function threshold(place, steps) {
  if (place <= 0) return null;
  const below = Math.max(-1, 2 * steps[0] - steps[1]);
  const marks = [below, ...steps];
  const [from, share] = [Math.floor(place), place % 1];
  const score = share ? marks[from] + share * (marks[from + 1] - marks[from]) : marks[from];
  return Math.min(1, Math.max(-1, score));
}
