// Compiles contracts.sol into the bytecode and selectors the tests use: npm install solc@0.8.37, then node compile.mjs
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const solc = createRequire(process.cwd() + '/')('solc')
const here = new URL('.', import.meta.url)
const input = {
  language: 'Solidity',
  sources: { 'contracts.sol': { content: readFileSync(new URL('contracts.sol', here), 'utf8') } },
  settings: {
    optimizer: { enabled: true, runs: 1 },
    metadata: { appendCBOR: false },
    evmVersion: 'paris',
    outputSelection: { '*': { '*': ['evm.bytecode.object', 'evm.methodIdentifiers'] } },
  },
}
const output = JSON.parse(solc.compile(JSON.stringify(input)))
for (const error of output.errors ?? []) console.error(error.formattedMessage)
const found = Object.entries(output.contracts['contracts.sol']).map(([name, { evm }]) => [
  name,
  { bytecode: evm.bytecode.object, selectors: evm.methodIdentifiers },
])
const file = new URL('../../src/dagi/testing/contracts.json', here)
writeFileSync(file, JSON.stringify(Object.fromEntries(found), null, 1) + '\n')
