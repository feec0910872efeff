"""Writes chat.json: conversations as Jinja makes texts of them, which src/chat.rs must equal.

    pip install jinja2==3.1.6
    python make_chat.py

The environment is that of `transformers` (`_compile_jinja_template`): a sandbox with trim_blocks and lstrip_blocks, loop
controls and raise_exception. The templates are in the manner of those that known models come with.
"""

import json
import pathlib

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATES = {
    "llama 2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama 3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}""",
    "qwen": """{%- if tools %}
    {{- 'tools' }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    "methods and controls": """{%- set state = namespace(n=0) -%}
{%- for message in messages -%}
  {%- if message.content.startswith('skip') -%}{%- continue -%}{%- endif -%}
  {%- set state.n = state.n + 1 -%}
  {{ state.n }}:{{ message['content'].split(' ')[-1].upper() }}:{{ message.get('name', 'nobody') }}:{{ message | tojson }};
{%- endfor -%}""",
    "refuses": "{{ raise_exception('never') }}",
}

CONVERSATIONS = [
    [{"role": "user", "content": "  Hello there. "}],
    [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Say \"你好\"\nto <me> & 'you', \\\\u003c."},
        {"role": "assistant", "content": " 你好 "},
        {"role": "user", "content": "skip this"},
    ],
    [{"role": "assistant", "content": "I begin."}],
]


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(template, messages):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    values = {"messages": messages, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    try:
        return environment.from_string(template).render(**values)
    except jinja2.exceptions.TemplateError:
        return None


def main():
    cases = [
        {"name": name, "template": template, "messages": messages, "text": render(template, messages)}
        for name, template in TEMPLATES.items()
        for messages in CONVERSATIONS
    ]
    golden = {"made_by": f"jinja2 {jinja2.__version__}, make_chat.py", "cases": cases}
    path = pathlib.Path(__file__).with_name("chat.json")
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
