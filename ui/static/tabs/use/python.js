// The snippets in Python: with the client of SAFT, and for embeddings with OpenAI's.
import { TINY_PNG, literal } from "./quoting.js";

const start = ({ url, key }, modules = []) =>
  `# In a checkout of SAFT:  pip install ./client
${modules.map((name) => `import ${name}\n`).join("")}${modules.length ? "\n" : ""}import saft_client

client = saft_client.Client(${literal(url)}${key ? `, ${literal(key)}` : ""})
`;

const image = ({ dataset_id }) =>
  dataset_id
    ? `
# A picture of yours to try with. For a file:  image = "photo.jpg"
image = client.datasets.image(${literal(dataset_id)}, 0)
`
    : `
# A tiny picture to try with. For a file:  image = "photo.jpg"
image = base64.b64decode("${TINY_PNG}")
`;

const needed_for_image = ({ dataset_id }) => (dataset_id ? [] : ["base64"]);

function classified(example, labels) {
  const given = labels ? `, labels=${literal(labels)}` : "";
  return `${start(example, needed_for_image(example))}${image(example)}
for result in client.classify([image], ${literal(example.adapter)}${given}, top_k=3):
    for guess in result.predictions:
        print(f"{guess.probability:7.1%}  {guess.label}")
`;
}

export const classify = (example) => classified(example, example.adapter === "base" ? example.labels : null);
export const own_labels = (example) => classified(example, example.labels);

export function search(example) {
  const { adapter, text, place } = example;
  const where = place
    ? `\n${place.kind} = ${literal(place.id)}\n`
    : `${image(example)}
collection = client.collections.create("my pictures")
client.collections.add(collection, [image])
`;
  return `${start(example, place ? [] : needed_for_image(example))}${where}
for match in client.retrieve(${place?.kind ?? "collection"}, ${literal(text)}, adapter=${literal(adapter)}, top_k=5):
    print(f"{match.score:.3f}  {match.filename}")
`;
}

export const tune = (example) => `${start(example, ["time"])}
${example.dataset_id
  ? `dataset = ${literal(example.dataset_id)}`
  : `# my-pictures: a folder with one folder per class, the pictures in the folders.
dataset = client.datasets.upload_folder("my-pictures")`}

job = client.adapters.train(time.strftime("my-adapter-%H%M%S"), dataset)
job = client.jobs.wait(job, progress=True)
print(job.adapter_id, job.metrics)
`;

export const embed = ({ url, key, adapter, text }) => `# pip install openai
${key ? "" : "import os\n\n"}import openai

client = openai.OpenAI(base_url=${literal(`${url}/v1`)}, api_key=${key ? literal(key) : 'os.environ["SAFT_API_KEY"]'})
answer = client.embeddings.create(model=${literal(adapter)}, input=[${literal(text)}])
print(len(answer.data[0].embedding), "numbers:", answer.data[0].embedding[:3])
`;
