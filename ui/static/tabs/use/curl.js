// The snippets in shell, with curl and nothing to install.
import { TINY_PNG, literal, shell } from "./quoting.js";

const AUTH = '-H "Authorization: Bearer $SAFT_API_KEY"';
const JSON_TYPE = "-H 'Content-Type: application/json'";

const start = ({ url, key }) =>
  `${key ? `export SAFT_API_KEY=${shell(key)}` : ': "${SAFT_API_KEY:?First give your key:  export SAFT_API_KEY=...}"'}
URL=${shell(url)}
`;

const image = ({ dataset_id }) =>
  dataset_id
    ? `
# A picture of yours to try with. For another file, leave this line out and name that file below.
curl -sSf "$URL/datasets/${dataset_id}/images/0" ${AUTH} -o example-image
`
    : `
# A tiny picture to try with. For a file of yours, leave this line out and name it below.
echo ${TINY_PNG} | base64 -d > example-image
`;

const field = (name, value) => `--form-string ${shell(`${name}=${value}`)}`;

function classified(example, labels) {
  const fields = [field("adapter", example.adapter), field("top_k", 3)];
  if (labels) fields.push(field("labels", literal(labels)));
  return `${start(example)}${image(example)}
curl -sS "$URL/classify" ${AUTH} \\
  ${fields.join(" ")} \\
  -F files=@example-image
`;
}

export const classify = (example) => classified(example, example.adapter === "base" ? example.labels : null);
export const own_labels = (example) => classified(example, example.labels);

const sent = (path, body) => `curl -sS "$URL${path}" ${AUTH} ${JSON_TYPE} \\
  -d ${body}
`;

export function search(example) {
  const { adapter, text, place } = example;
  if (place) return `${start(example)}\n${sent("/retrieve", shell(literal({ [`${place.kind}_id`]: place.id, adapter, text, top_k: 5 })))}`;
  return `${start(example)}${image(example)}
COLLECTION=$(curl -sSf "$URL/collections" ${AUTH} ${JSON_TYPE} \\
  -d '{"name": "my pictures"}' | sed -E 's/.*"id": ?"([^"]+)".*/\\1/')
curl -sSf "$URL/collections/$COLLECTION/images" ${AUTH} -F files=@example-image

QUERY=${shell(literal({ adapter, text, top_k: 5 }).slice(1, -1))}
${sent("/retrieve", '"{\\"collection_id\\": \\"$COLLECTION\\", $QUERY}"')}`;
}

export function tune(example) {
  const dataset = example.dataset_id
    ? `\nDATASET=${shell(example.dataset_id)}\n`
    : `
# pictures.zip: one folder per class, the pictures in the folders.
DATASET=$(curl -sSf "$URL/datasets" ${AUTH} \\
  -F name=my-pictures -F archive=@pictures.zip | sed -E 's/^\\{"id": ?"([^"]+)".*/\\1/')
`;
  return `${start(example)}${dataset}
NAME="my-adapter-$(date +%H%M%S)"
JOB=$(curl -sSf "$URL/adapters" ${AUTH} ${JSON_TYPE} \\
  -d "{\\"name\\": \\"$NAME\\", \\"dataset_id\\": \\"$DATASET\\"}" | sed -E 's/^\\{"id": ?"([^"]+)".*/\\1/')

# Prints the job each time it moves on, until it has ended.
curl -sSN "$URL/jobs/$JOB/events" ${AUTH}
`;
}

export const embed = (example) =>
  `${start(example)}\n${sent("/v1/embeddings", shell(literal({ model: example.adapter, input: [example.text] })))}`;
