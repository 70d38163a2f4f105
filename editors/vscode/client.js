// Starts `weft lsp` for .weft files. Highlighting needs none of this.
const { window, workspace } = require("vscode");

let client;

exports.activate = async () => {
  const { LanguageClient } = require("vscode-languageclient/node");
  const command = workspace.getConfiguration("weft").get("command");
  const documents = { documentSelector: [{ language: "weft" }] };
  client = new LanguageClient("weft", "weft", { command, args: ["lsp"] }, documents);
  try {
    await client.start();
  } catch (error) {
    window.showWarningMessage(`weft: \`${command} lsp\` does not start: ${error.message}`);
  }
};

exports.deactivate = () => client && client.stop();
