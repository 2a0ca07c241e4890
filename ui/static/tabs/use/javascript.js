// The snippets in JavaScript, with fetch: in Node, and in the console of a page of the same address.
import { TINY_PNG, literal } from "./quoting.js";

const start = ({ url, key }) =>
  `// Save as saft.mjs, then:  node saft.mjs  (Node 18 or newer). In a browser: the console of a page of this service.
const url = ${literal(url)};
const key = ${key ? literal(key) : 'globalThis.process?.env.SAFT_API_KEY ?? prompt("Your key:")'};

async function ask(path, options = {}) {
  const headers = { Authorization: "Bearer " + key, ...options.headers };
  const answer = await fetch(url + path, { ...options, headers });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}
`;

const POST_JSON = `
const post = async (path, body) =>
  (await ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } })).json();
`;

const blob = (name) => `new Blob([(await import("node:fs")).readFileSync("${name}")])`;
const FOR_A_FILE = `For a file, in Node:  ${blob("photo.jpg")}`;

const image = ({ dataset_id }) =>
  dataset_id
    ? `
// A picture of yours to try with. ${FOR_A_FILE}
const image = await (await ask("/datasets/${dataset_id}/images/0")).blob();
`
    : `
// A tiny picture to try with. ${FOR_A_FILE}
const image = await (await fetch("data:image/png;base64,${TINY_PNG}")).blob();
`;

function classified(example, labels) {
  return `${start(example)}${image(example)}
const form = new FormData();
form.append("adapter", ${literal(example.adapter)});
form.append("top_k", "3");
${labels ? `form.append("labels", JSON.stringify(${literal(labels)}));\n` : ""}form.append("files", image, "photo");
const { results } = await (await ask("/classify", { method: "POST", body: form })).json();
for (const { label, probability } of results[0].predictions) console.log((100 * probability).toFixed(1) + "%", label);
`;
}

export const classify = (example) => classified(example, example.adapter === "base" ? example.labels : null);
export const own_labels = (example) => classified(example, example.labels);

export function search(example) {
  const { adapter, text, place } = example;
  const id = place ? `${place.kind}_id` : "collection_id";
  const where = place
    ? `\nconst ${id} = ${literal(place.id)};\n`
    : `${image(example)}
const { id: collection_id } = await post("/collections", { name: "my pictures" });
const form = new FormData();
form.append("files", image, "photo");
await ask("/collections/" + collection_id + "/images", { method: "POST", body: form });
`;
  return `${start(example)}${POST_JSON}${where}
const { results } = await post("/retrieve", { ${id}, adapter: ${literal(adapter)}, text: ${literal(text)}, top_k: 5 });
for (const { score, filename } of results) console.log(score.toFixed(3), filename);
`;
}

export const tune = (example) => `${start(example)}${POST_JSON}
${example.dataset_id
  ? `const dataset_id = ${literal(example.dataset_id)};`
  : `// pictures.zip: one folder per class, the pictures in the folders. Only in Node.
const form = new FormData();
form.append("name", "my-pictures");
form.append("archive", ${blob("pictures.zip")}, "pictures.zip");
const { id: dataset_id } = await (await ask("/datasets", { method: "POST", body: form })).json();`}

let job = await post("/adapters", { name: "my-adapter-" + Date.now(), dataset_id });
while (["queued", "running"].includes(job.status)) {
  console.log(job.status, job.phase, Math.round(100 * job.progress) + "%");
  await new Promise((resolve) => setTimeout(resolve, 2000));
  job = await (await ask("/jobs/" + job.id)).json();
}
console.log(job.status, job.adapter_id);
`;

export const embed = (example) => `${start(example)}${POST_JSON}
const { data } = await post("/v1/embeddings", { model: ${literal(example.adapter)}, input: [${literal(example.text)}] });
console.log(data[0].embedding.length, "numbers:", data[0].embedding.slice(0, 3));
`;
