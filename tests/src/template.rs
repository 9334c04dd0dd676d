//! The template as CloudFormation sees it: parsed, and rendered for an account and values of its parameters.
//!
//! The local AWS enforces few of the limits of a real account, so rules over the rendered template stand in for it. The
//! intrinsic functions follow the CloudFormation template reference; an unknown one is an error.

use std::{collections::BTreeMap, fs, path::Path};

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// The template cannot be read or rendered.
#[derive(Debug, Error)]
#[error("template.yaml: {0}")]
pub struct TemplateError(String);

fn error<T>(text: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError(text.into()))
}

/// The account, region and name that a stack is rendered for.
#[derive(Debug, Clone)]
pub struct Stack {
    /// `AWS::StackName`.
    pub name: String,
    /// `AWS::AccountId`, 12 digits.
    pub account: String,
    /// `AWS::Region`.
    pub region: String,
}

impl Stack {
    /// A stack with a name as long as asked for, in an account with 12 digits and one of the regions with the longest
    /// name, 14 characters.
    pub fn with_name_of(length: usize) -> Self {
        Self {
            name: "s".repeat(length),
            account: "123456789012".to_owned(),
            region: "ap-southeast-2".to_owned(),
        }
    }
}

/// A parsed template, with the functions in their long form (`{"Ref": "Api"}`).
#[derive(Debug, Clone)]
pub struct Template(Value);

impl Template {
    /// The template of the workspace.
    ///
    /// # Errors
    /// When it cannot be read or is not YAML.
    pub fn load() -> Result<Self, TemplateError> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let text = fs::read_to_string(file).map_err(|error| TemplateError(error.to_string()))?;
        Self::parse(&text)
    }

    /// Any template.
    ///
    /// # Errors
    /// When it is not YAML, or uses a part of YAML that CloudFormation does not take.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let documents =
            Yaml::load_from_str(text).map_err(|error| TemplateError(error.to_string()))?;
        match documents.as_slice() {
            [document] => long_form(document).map(Self),
            _ => error("is not one document"),
        }
    }

    /// The template as JSON.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The names of the parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        section(&self.0, "Parameters").map(|(name, _)| name.as_str())
    }

    /// What CloudFormation makes of it for a stack: parameters that are not given have their defaults, functions are
    /// replaced by their values, what has a condition that is false or is `AWS::NoValue` is gone, and what `Globals`
    /// says about functions is in each of them.
    ///
    /// # Errors
    /// When a parameter has no value or does not exist, or something refers to what does not exist.
    pub fn render(
        &self,
        stack: &Stack,
        parameters: &[(&str, &str)],
    ) -> Result<Rendered, TemplateError> {
        let mut values = BTreeMap::new();
        for (name, declaration) in section(&self.0, "Parameters") {
            let given = parameters.iter().find(|(given, _)| given == name);
            let value = match (given, &declaration["Default"]) {
                (Some((_, value)), _) => (*value).to_owned(),
                (None, Value::Null) => return error(format!("parameter {name} has no value")),
                (None, Value::String(default)) => default.clone(),
                (None, default) => default.to_string(),
            };
            values.insert(name.clone(), value);
        }
        if let Some((name, _)) = parameters
            .iter()
            .find(|(name, _)| !values.contains_key(*name))
        {
            return error(format!("there is no parameter {name}"));
        }
        let renderer = Renderer {
            template: &self.0,
            stack,
            parameters: values,
        };
        let globals = &self.0["Globals"]["Function"];
        let mut resources = BTreeMap::new();
        for (name, resource) in section(&self.0, "Resources") {
            if !renderer.exists(resource)? {
                continue;
            }
            let mut resource = resource.clone();
            if resource["Type"] == "AWS::Serverless::Function" {
                let mut properties = globals.clone();
                merge(&mut properties, &resource["Properties"]);
                resource["Properties"] = properties;
            }
            let resource = renderer.render(&resource, name)?;
            resources.insert(name.clone(), resource.unwrap_or_default());
        }
        let mut outputs = BTreeMap::new();
        for (name, output) in section(&self.0, "Outputs") {
            if renderer.exists(output)?
                && let Some(output) = renderer.render(&output["Value"], name)?
            {
                outputs.insert(name.clone(), output);
            }
        }
        Ok(Rendered { resources, outputs })
    }
}

/// A rendered template.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The resources by their logical names, with `Type`, `Properties` and attributes such as `DeletionPolicy`.
    pub resources: BTreeMap<String, Value>,
    /// The values of the outputs.
    pub outputs: BTreeMap<String, Value>,
}

impl Rendered {
    /// The resources of a type, by name.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.resources
            .iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(name, resource)| (name.as_str(), resource))
    }

    /// The functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.of_type("AWS::Serverless::Function")
    }

    /// The environment variables of a function.
    pub fn environment(&self, function: &str) -> BTreeMap<String, String> {
        strings(&self.resources[function]["Properties"]["Environment"]["Variables"])
    }

    /// The resource that an ARN or URL of `physical` names.
    pub fn resource_of(&self, kind: &str, arn: &Value) -> Option<(&str, &Value)> {
        let arn = arn.as_str()?;
        self.of_type(kind)
            .find(|(name, _)| arn.contains(&format!("-{name}-")))
    }
}

/// The texts of an object's members.
pub fn strings(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.clone(), text(value).unwrap_or_default()))
        .collect()
}

fn section<'a>(template: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    template[name].as_object().into_iter().flatten()
}

/// Lays one object over another, as SAM does with `Globals`: objects are merged, anything else is replaced.
fn merge(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) if !is_function(above) => {
            for (name, value) in above {
                merge(below.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

fn is_function(object: &Map<String, Value>) -> bool {
    object.len() == 1
        && object
            .keys()
            .all(|name| name == "Ref" || name.starts_with("Fn::"))
}

fn long_form(node: &Yaml<'_>) -> Result<Value, TemplateError> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(long_form).collect::<Result<_, _>>()?,
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (name, value) in members {
                let Some(name) = long_form(name)?.as_str().map(str::to_owned) else {
                    return error(format!("the name of a member is no text: {name:?}"));
                };
                object.insert(name, long_form(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, node) => {
            let value = long_form(node)?;
            match tag.suffix.as_str() {
                "Ref" | "Condition" => json!({ &tag.suffix: value }),
                // `A.B.C` is the attribute `B.C` of `A`.
                "GetAtt" if value.is_string() => {
                    let text = value.as_str().unwrap_or_default();
                    let parts = text.split_once('.');
                    let Some((resource, attribute)) = parts else {
                        return error(format!("!GetAtt {text} names no attribute"));
                    };
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                name => json!({ format!("Fn::{name}"): value }),
            }
        }
        other => return error(format!("cannot hold {other:?}")),
    })
}

/// A value as CloudFormation writes it into a text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

struct Renderer<'a> {
    template: &'a Value,
    stack: &'a Stack,
    parameters: BTreeMap<String, String>,
}

impl Renderer<'_> {
    /// Whether a resource or output is made at all.
    fn exists(&self, part: &Value) -> Result<bool, TemplateError> {
        match &part["Condition"] {
            Value::String(name) => self.condition(name),
            _ => Ok(true),
        }
    }

    fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        match &self.template["Conditions"][name] {
            Value::Null => error(format!("there is no condition {name}")),
            condition => self.is_true(condition),
        }
    }

    fn is_true(&self, condition: &Value) -> Result<bool, TemplateError> {
        let all = |list: &Value| -> Result<Vec<bool>, TemplateError> {
            let list = list.as_array().into_iter().flatten();
            list.map(|condition| self.is_true(condition)).collect()
        };
        match function(condition) {
            Some(("Condition", Value::String(name))) => self.condition(name),
            Some(("Fn::Equals", pair)) => Ok(self.value(&pair[0])? == self.value(&pair[1])?),
            Some(("Fn::Not", list)) => Ok(!self.is_true(&list[0])?),
            Some(("Fn::And", list)) => Ok(all(list)?.into_iter().all(|is_true| is_true)),
            Some(("Fn::Or", list)) => Ok(all(list)?.into_iter().any(|is_true| is_true)),
            _ => error(format!("is no condition: {condition}")),
        }
    }

    /// A value that must be there.
    fn value(&self, value: &Value) -> Result<Value, TemplateError> {
        match self.render(value, "")? {
            Some(value) => Ok(value),
            None => error(format!("AWS::NoValue where a value is needed: {value}")),
        }
    }

    fn text(&self, value: &Value) -> Result<String, TemplateError> {
        let value = self.value(value)?;
        text(&value).map_or_else(|| error(format!("is no text: {value}")), Ok)
    }

    fn list(&self, value: &Value) -> Result<Vec<Value>, TemplateError> {
        match self.value(value)? {
            Value::Array(list) => Ok(list),
            value => error(format!("is no list: {value}")),
        }
    }

    /// `None`: `AWS::NoValue`.
    fn render(&self, value: &Value, place: &str) -> Result<Option<Value>, TemplateError> {
        let located = |error: TemplateError| match place {
            "" => error,
            place => TemplateError(format!("{place}: {}", error.0)),
        };
        if let Some((name, argument)) = function(value) {
            return self.call(name, argument).map_err(located);
        }
        Ok(Some(match value {
            Value::Array(items) => {
                let mut list = Vec::new();
                for item in items {
                    list.extend(self.render(item, place)?);
                }
                Value::Array(list)
            }
            Value::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(member) = self.render(member, place)? {
                        object.insert(name.clone(), member);
                    }
                }
                Value::Object(object)
            }
            value => value.clone(),
        }))
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, TemplateError> {
        let value = match name {
            "Ref" => return self.reference(argument.as_str().unwrap_or_default()),
            "Fn::GetAtt" => {
                let part = |index: usize| argument[index].as_str().unwrap_or_default();
                json!(self.attribute(part(0), part(1))?)
            }
            "Fn::If" => {
                let condition = argument[0].as_str().unwrap_or_default();
                let branch = if self.condition(condition)? { 1 } else { 2 };
                return self.render(&argument[branch], "");
            }
            "Fn::Sub" => json!(self.substitute(argument)?),
            "Fn::Join" => {
                let items = self.list(&argument[1])?;
                let items: Vec<String> = items.iter().filter_map(text).collect();
                json!(items.join(argument[0].as_str().unwrap_or_default()))
            }
            "Fn::Split" => {
                let whole = self.text(&argument[1])?;
                let delimiter = argument[0].as_str().unwrap_or_default();
                json!(whole.split(delimiter).collect::<Vec<_>>())
            }
            "Fn::Select" => {
                let index = self.text(&argument[0])?.parse().unwrap_or(usize::MAX);
                let list = self.list(&argument[1])?;
                match list.get(index) {
                    Some(item) => item.clone(),
                    None => return error(format!("no item {index} in {list:?}")),
                }
            }
            // Of the transform AWS::LanguageExtensions.
            "Fn::ToJsonString" => json!(self.value(argument)?.to_string()),
            "Condition" => json!({ "Condition": argument }),
            name => return error(format!("the function {name} is not known here")),
        };
        Ok(Some(value))
    }

    fn substitute(&self, argument: &Value) -> Result<String, TemplateError> {
        let (pattern, own) = match argument {
            Value::Array(parts) => (&parts[0], parts.get(1).unwrap_or(&Value::Null)),
            pattern => (pattern, &Value::Null),
        };
        let mut rest = pattern.as_str().unwrap_or_default();
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            result += before;
            let Some((name, after)) = after.split_once('}') else {
                return error(format!("an open brace in {pattern}"));
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                result += &format!("${{{literal}}}");
                continue;
            }
            let value = match (own.get(name), name.split_once('.')) {
                (Some(own), _) => self.text(own)?,
                (None, Some((resource, attribute))) => self.attribute(resource, attribute)?,
                (None, None) => match self.reference(name)?.as_ref().and_then(text) {
                    Some(text) => text,
                    None => return error(format!("{name} is no text, in {pattern}")),
                },
            };
            result += &value;
        }
        Ok(result + rest)
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let Stack {
            name: stack,
            account,
            region,
        } = self.stack;
        let value = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::StackName" => json!(stack),
            "AWS::AccountId" => json!(account),
            "AWS::Region" => json!(region),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            "AWS::StackId" => json!(self.arn("cloudformation", &format!("stack/{stack}/{UUID}"))),
            name => match self.parameters.get(name) {
                Some(value) => {
                    let kind = &self.template["Parameters"][name]["Type"];
                    let kind = kind.as_str().unwrap_or_default();
                    if kind == "CommaDelimitedList" || kind.starts_with("List<") {
                        let items = value.split(',').map(str::trim);
                        json!(items.collect::<Vec<_>>())
                    } else {
                        json!(value)
                    }
                }
                None => json!(self.physical(name)?),
            },
        };
        Ok(Some(value))
    }

    fn resource(&self, name: &str) -> Result<&Value, TemplateError> {
        match &self.template["Resources"][name] {
            Value::Null => error(format!(
                "there is no parameter or resource {name} to refer to"
            )),
            resource => Ok(resource),
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Stack {
            account, region, ..
        } = self.stack;
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    }

    /// The name that CloudFormation makes: `stack-resource-random`, where the stack's name and the resource's are cut
    /// so that the whole fits.
    fn made_name(&self, resource: &str, longest: usize, suffix: &str) -> String {
        let own = format!("-{resource}-{RANDOM}{suffix}");
        let room = longest.saturating_sub(own.len());
        let stack = &self.stack.name[..self.stack.name.len().min(room)];
        format!("{stack}{own}")
    }

    /// The name that a resource has by its own property, or is given.
    fn name_of(&self, resource: &str) -> Result<String, TemplateError> {
        let declaration = self.resource(resource)?;
        let properties = &declaration["Properties"];
        let (property, longest) = match declaration["Type"].as_str().unwrap_or_default() {
            "AWS::Serverless::Function" => ("FunctionName", 64),
            "AWS::SQS::Queue" => ("QueueName", 80),
            "AWS::DynamoDB::Table" => ("TableName", 255),
            "AWS::Logs::LogGroup" => ("LogGroupName", 512),
            "AWS::S3::Bucket" => ("BucketName", 63),
            "AWS::IAM::Role" => ("RoleName", 64),
            "AWS::SecretsManager::Secret" => ("Name", 512),
            "AWS::CloudWatch::Alarm" => ("AlarmName", 255),
            _ => ("Name", 128),
        };
        if !properties[property].is_null() {
            return self.text(&properties[property]);
        }
        let suffix = if properties["FifoQueue"] == true {
            ".fifo"
        } else {
            ""
        };
        Ok(self.made_name(resource, longest, suffix))
    }

    /// What `Ref` gives for a resource.
    fn physical(&self, resource: &str) -> Result<String, TemplateError> {
        let name = self.name_of(resource)?;
        let kind = self.resource(resource)?["Type"].as_str();
        Ok(match kind.unwrap_or_default() {
            "AWS::SQS::Queue" => {
                let Stack {
                    region, account, ..
                } = self.stack;
                format!("https://sqs.{region}.amazonaws.com/{account}/{name}")
            }
            "AWS::SecretsManager::Secret" => self.arn(
                "secretsmanager",
                &format!("secret:{name}-{RANDOM_OF_SECRET}"),
            ),
            "AWS::ApiGatewayV2::Api" => api_id(resource),
            "AWS::ApiGatewayV2::Stage" => {
                self.text(&self.resource(resource)?["Properties"]["StageName"])?
            }
            "AWS::ApiGatewayV2::DomainName" => {
                self.text(&self.resource(resource)?["Properties"]["DomainName"])?
            }
            "AWS::S3::Bucket" => name.to_lowercase(),
            _ => name,
        })
    }

    /// What `GetAtt` gives for a resource.
    fn attribute(&self, resource: &str, attribute: &str) -> Result<String, TemplateError> {
        let name = self.name_of(resource)?;
        let kind = self.resource(resource)?["Type"].as_str();
        Ok(match (kind.unwrap_or_default(), attribute) {
            ("AWS::Serverless::Function", "Arn") => self.arn("lambda", &format!("function:{name}")),
            ("AWS::SQS::Queue", "Arn") => self.arn("sqs", &name),
            ("AWS::SQS::Queue", "QueueName") => name,
            ("AWS::DynamoDB::Table", "Arn") => self.arn("dynamodb", &format!("table/{name}")),
            ("AWS::Logs::LogGroup", "Arn") => self.arn("logs", &format!("log-group:{name}:*")),
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{}", name.to_lowercase()),
            ("AWS::IAM::Role", "Arn") => {
                format!("arn:aws:iam::{}:role/{name}", self.stack.account)
            }
            ("AWS::SecretsManager::Secret", "Id") => self.physical(resource)?,
            ("AWS::ApiGatewayV2::Api", "ApiEndpoint") => format!(
                "https://{}.execute-api.{}.amazonaws.com",
                api_id(resource),
                self.stack.region
            ),
            ("AWS::Cognito::UserPool", "ProviderURL") => {
                let region = &self.stack.region;
                format!("https://cognito-idp.{region}.amazonaws.com/{region}_AbCdEf123")
            }
            (_, attribute) => format!("{name}.{attribute}"),
        })
    }
}

/// The id of an API of the template: 10 characters, which say which API it is.
pub fn api_id(resource: &str) -> String {
    let name = resource.to_lowercase() + API_ID;
    name.chars().take(API_ID.len()).collect()
}

fn function(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object()?;
    let (name, argument) = object.iter().next()?;
    let is_condition = name == "Condition" && argument.is_string();
    (is_function(object) || object.len() == 1 && is_condition).then_some((name.as_str(), argument))
}

/// What CloudFormation adds to the names that it makes: 12 characters.
const RANDOM: &str = "ABCDEF123456";
/// What Secrets Manager adds to the name in an ARN: 6 characters.
const RANDOM_OF_SECRET: &str = "AbCdEf";
/// What fills the id of an API up: 10 characters.
const API_ID: &str = "abcdef1234";
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(resources: &str, parameters: &[(&str, &str)]) -> Result<Rendered, TemplateError> {
        let template = format!(
            "Parameters: {{ Name: {{ Type: String, Default: \"\" }}, Ids: {{ Type: CommaDelimitedList, Default: \"a,b\" }} }}
Conditions: {{ Named: !Not [!Equals [!Ref Name, \"\"]], Both: !And [!Condition Named, !Equals [1, 1]] }}
Resources:
{resources}"
        );
        Template::parse(&template)?.render(&Stack::with_name_of(5), parameters)
    }

    #[test]
    fn functions_are_replaced_by_their_values() {
        let queue = "  Queue: { Type: AWS::SQS::Queue, Properties: { FifoQueue: true } }
  X:
    Type: X
    Properties:
      Url: !Ref Queue
      Name: !Select [4, !Split [/, !Ref Queue]]
      Arn: !GetAtt Queue.Arn
      Text: !Sub ['${Own} ${AWS::Region} ${Queue.QueueName} ${!Kept}', { Own: !Join ['-', [a, b]] }]
      Optional: !If [Both, !Ref Name, !Ref AWS::NoValue]
      List: [one, !If [Named, two, !Ref AWS::NoValue]]
      Ids: !Ref Ids
";
        let x = |parameters: &[(&str, &str)]| {
            rendered(queue, parameters).unwrap().resources["X"]["Properties"].clone()
        };
        let name = "sssss-Queue-ABCDEF123456.fifo";
        let mut expected = json!({
            "Url": format!("https://sqs.ap-southeast-2.amazonaws.com/123456789012/{name}"),
            "Name": name,
            "Arn": format!("arn:aws:sqs:ap-southeast-2:123456789012:{name}"),
            "Text": format!("a-b ap-southeast-2 {name} ${{Kept}}"),
            "List": ["one"],
            "Ids": ["a", "b"],
        });
        assert_eq!(x(&[]), expected);
        expected["Optional"] = json!("x");
        expected["List"] = json!(["one", "two"]);
        assert_eq!(x(&[("Name", "x")]), expected);
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        for fault in [
            "!Ref Nothing",
            "!GetAtt Nothing.Arn",
            "!Sub '${Nothing}'",
            "!If [Nothing, 1, 2]",
            "!Nonsense x",
        ] {
            let resources = format!("  X: {{ Type: X, Properties: {{ Y: {fault} }} }}");
            let error = rendered(&resources, &[]).unwrap_err().to_string();
            assert!(error.contains("X: "), "{error}");
        }
        assert!(rendered("  X: { Type: X }", &[("Nothing", "x")]).is_err());
    }

    #[test]
    fn made_names_fit_their_service() {
        let queue = "  ALogicalNameThatIsLong: { Type: AWS::SQS::Queue }
  X: { Type: X, Properties: { Y: !GetAtt ALogicalNameThatIsLong.QueueName } }";
        let template = Template::parse(&format!("Resources:\n{queue}")).unwrap();
        let rendered = template.render(&Stack::with_name_of(128), &[]).unwrap();
        let name = &rendered.resources["X"]["Properties"]["Y"];
        assert_eq!(name.as_str().unwrap().len(), 80);
    }
}
