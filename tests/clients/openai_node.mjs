// Asks a router with OpenAI's SDK for Node, and prints what came of it as one line of JSON: `openai_node.mjs SDK URL KEY SCENARIO`.
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const [, , environment, baseURL, apiKey, scenario] = process.argv;
const { default: OpenAI } = await import(pathToFileURL(createRequire(`${environment}/package.json`).resolve("openai")).href);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 2 });
const model = "dagi-stack";
const messages = [{ role: "user", content: "Hello?" }];
const tools = [
  { type: "function", function: { name: "vote", description: "Votes.", parameters: { type: "object", properties: { proposal: { type: "integer" } } } } },
];

const scenarios = {
  async models() {
    const listed = [];
    for await (const one of client.models.list()) listed.push(one.id);
    return { listed, one: (await client.models.retrieve(model)).id };
  },
  async whole() {
    const { data, request_id } = await client.chat.completions.create({ model, messages, temperature: 0, user: "a label" }).withResponse();
    return { text: data.choices[0].message.content, finish_reason: data.choices[0].finish_reason, usage: data.usage.total_tokens, request_id };
  },
  async stream() {
    const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    let text = "", finish_reason = null, usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      finish_reason = chunk.choices[0]?.finish_reason ?? finish_reason;
      usage = chunk.usage?.total_tokens ?? usage;
    }
    return { text, finish_reason, usage };
  },
  async tools() {
    const completion = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const [{ id, function: called }] = completion.choices[0].message.tool_calls;
    return { id, name: called.name, arguments: called.arguments, finish_reason: completion.choices[0].finish_reason };
  },
  async leave() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
    return { left: true };
  },
};
// The rule for it asks one provider and no other.
scenarios.alone = () => client.chat.completions.create({ model, messages, metadata: { plain: true } });
scenarios.absent = () => client.models.retrieve("no-such-model");

let result;
try {
  result = await scenarios[scenario]();
} catch (error) {
  result = { raised: error.constructor.name, status: error.status ?? null, code: error.code ?? null, says: error.message };
}
console.log(JSON.stringify(result));
